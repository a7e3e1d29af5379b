#!/bin/sh
# Adds the probe modules mptcp_synscan and mptcp_trace to a source tree of ZMap 4.1 or later:
#   add-to-zmap.sh TREE
# copies the sources into TREE/src/probe_modules/mptcp and registers them in
# TREE/src/CMakeLists.txt and TREE/src/probe_modules/probe_modules.c. Run it again after
# an update of mpcensus; where nothing is new, it changes nothing.
set -eu
export LC_ALL=C

refuse() {
	echo "add-to-zmap.sh: $1" >&2
	exit 1
}

[ $# -eq 1 ] || refuse "usage: add-to-zmap.sh TREE, where TREE holds the sources of ZMap 4"
tree=$1
sources=$(cd -- "$(dirname -- "$(readlink -f -- "$0")")/.." && pwd)
cmake=src/CMakeLists.txt
modules=src/probe_modules
table=$modules/probe_modules.c

# need FILE LINE: a line that every ZMap from 4.1 on has; most of them mark where modules are added.
need() {
	grep -q -e "$2" "$tree/$1" 2>/dev/null ||
		refuse "$tree holds no sources of ZMap 4.1 or later: $1 has no line like '$2'"
}

need $cmake '^set(EXTRA_PROBE_MODULES$'
need $table '^// ADD YOUR MODULE HERE$'
need $table '^  *// ADD YOUR MODULE HERE$'
need $modules/probe_modules.h 'uint16_t ip_id'
cd -- "$tree"
for path in src $modules; do
	[ -w "$path" ] || refuse "no permission to write to $tree/$path"
done

# All is made beside what it replaces.
trap 'rm -rf $modules/mptcp.new $cmake.new $table.new' EXIT
trap 'exit 1' HUP INT TERM
rm -rf $modules/mptcp.new
mkdir $modules/mptcp.new

# copy FOLDER FILE...: into the new folder of sources. A file that has not changed keeps its time, so
# that make builds again what did, and no more.
copy() {
	folder=$1
	shift
	mkdir "$modules/mptcp.new/$folder"
	for file; do
		there=$modules/mptcp/$folder/${file##*/}
		if cmp -s "$file" "$there"; then
			cp -p "$there" "$modules/mptcp.new/$folder/"
		else
			cp "$file" "$modules/mptcp.new/$folder/"
		fi
	done
}

copy wire "$sources"/wire/*.[ch]
copy row "$sources"/row/*.[ch] "$sources/zmap4/zmap_fields.h"
copy zmap4 "$sources/zmap4/module.c"

# cp -p gives the new file the old one's permissions.
cp -p $cmake $cmake.new
awk -v listed="$(cd $modules/mptcp.new && echo */*.c)" '
	/^ *probe_modules\/mptcp\// { next }
	{ print }
	/^set\(EXTRA_PROBE_MODULES$/ {
		count = split(listed, files, " ")
		for (i = 1; i <= count; i++)
			print "    probe_modules/mptcp/" files[i]
	}' $cmake >$cmake.new
cp -p $table $table.new
awk '
	/module_mptcp_/ { next }
	/^\/\/ ADD YOUR MODULE HERE$/ { print "extern probe_module_t module_mptcp_synscan, module_mptcp_trace;" }
	/^ +\/\/ ADD YOUR MODULE HERE$/ { print "    &module_mptcp_synscan, &module_mptcp_trace," }
	{ print }' $table >$table.new

# Sources first, then what names them: after an interruption, another run completes it.
rm -rf $modules/mptcp
mv $modules/mptcp.new $modules/mptcp
for file in $cmake $table; do
	cmp -s "$file" "$file.new" || mv "$file.new" "$file"
done
