#!/bin/sh
# zmap4/add-to-zmap.sh on copies of zmap4-tree/, which stands for a source tree of ZMap 4.
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=SCRIPTDIR/expect.sh
. "$here/expect.sh"
module=$here/..
tree=$work/zmap
added=$tree/src/probe_modules/mptcp

# Names and permissions in a folder, and contents and times of its files.
state() {
	(
		cd "$1" || exit
		find . -printf '%p %m\n'
		find . -type f -printf '%p %T@\n' -exec sha256sum {} +
	) | sort
}

fresh_tree() {
	rm -rf "$tree"
	cp -r "$here/zmap4-tree" "$tree"
}

registered() {
	sed -n 's/^ *\(probe_modules\/mptcp\/.*\)/\1/p' "$tree/src/CMakeLists.txt"
}

# Builds what is registered, as ZMap's CMake does, and prints the names of the modules.
build() {
	sources=$(sed -n 's/^ *\(probe_modules\/.*\)/\1/p' "$tree/src/CMakeLists.txt")
	# shellcheck disable=SC2086
	(cd "$tree/src" && ${CC:-cc} -std=gnu11 -O2 -Wall -Wextra -pedantic -Wundef -Werror \
		-I. -o "$work/built" $sources && "$work/built") | tr '\n' ' '
}

test_adds() {
	fresh_tree
	run "$module/zmap4/add-to-zmap.sh" "$tree"
	expect "add: status and output" "$status$(cat "$work/out" "$work/err")" 0
	expect "add: wire" "$(diff -r "$module/wire" "$added/wire")" ""
	expect "add: registered" "$(registered)" \
		"$(cd "$tree/src" && LC_ALL=C ls probe_modules/mptcp/*/*.c)"
	expect "add: modules of the built tree" "$(build)" "other mptcp_synscan mptcp_trace "
	expect "add: nothing else" "$(diff -rq "$here/zmap4-tree" "$tree" | sort)" \
		"Files $here/zmap4-tree/src/CMakeLists.txt and $tree/src/CMakeLists.txt differ
Files $here/zmap4-tree/src/probe_modules/probe_modules.c and $tree/src/probe_modules/probe_modules.c differ
Only in $tree/src/probe_modules: mptcp"
	expect "add: removed lines" "$(diff -r "$here/zmap4-tree" "$tree" | grep -c '^<')" 0
}

test_twice() {
	fresh_tree
	chmod 666 "$tree/src/CMakeLists.txt"
	"$module/zmap4/add-to-zmap.sh" "$tree"
	expect "permissions" "$(stat -c %a "$tree/src/CMakeLists.txt")" 666
	state "$tree" >"$work/once"
	(cd "$tree" && "$module/zmap4/add-to-zmap.sh" .)
	state "$tree" >"$work/twice"
	expect "twice" "$(diff "$work/once" "$work/twice")" ""
}

# The script takes its sources from where it lies: here, from a copy that can be changed.
copy_module() {
	rm -rf "$work/module"
	mkdir "$work/module"
	cp -r "$module/wire" "$module/row" "$module/zmap4" "$work/module/"
}

test_update() {
	fresh_tree
	copy_module
	"$work/module/zmap4/add-to-zmap.sh" "$tree"
	echo "/* newer */" >>"$work/module/row/row.c"
	touch -d 2001-01-01 "$work/module/row/row.c" # as from an archive: make must build it all the same
	touch "$work/built_before"
	echo "extern int added_later;" >"$work/module/wire/later.c"
	rm "$work/module/wire/hex.h"
	mkdir "$tree/src/probe_modules/mptcp.new" # as if killed at an earlier time
	touch "$tree/src/probe_modules/mptcp.new/leftover.c"
	run "$work/module/zmap4/add-to-zmap.sh" "$tree"
	expect "update: status" "$status" 0
	expect "update: wire" "$(diff -r "$work/module/wire" "$added/wire")" ""
	expect "update: row" "$(tail -n 1 "$added/row/row.c")" "/* newer */"
	expect "update: to build" "$(cd "$added" && find . -newer "$work/built_before" -type f | sort | tr '\n' ' ')" \
		"./row/row.c ./wire/later.c "
	expect "update: registered" "$(registered | grep -c later)" 1
	expect "update: leftovers" "$(find "$tree" -name '*.new' -o -name 'leftover*')" ""

	rm "$work/module/wire/later.c"
	"$work/module/zmap4/add-to-zmap.sh" "$tree"
	expect "removed source" "$(registered | grep -c later)$(find "$tree" -name 'later*')" 0
	expect "registered once" "$(grep -c 'module_mptcp_synscan.*module_mptcp_trace' "$tree/src/probe_modules/probe_modules.c")" 2
}

# refused WHAT ARGUMENT...: one line, and the tree as it was.
refused() {
	what=$1
	shift
	state "$tree" >"$work/before"
	run "$module/zmap4/add-to-zmap.sh" "$@"
	expect "$what: status" "$status" 1
	expect "$what: lines" "$(lines "$work/err") $(cut -d: -f1 "$work/err")" "1 add-to-zmap.sh"
	state "$tree" >"$work/after"
	expect "$what: tree" "$(diff "$work/before" "$work/after")" ""
}

test_refusals() {
	fresh_tree
	refused "no argument"
	refused "two arguments" "$tree" "$tree"
	refused "no such folder" "$work/none"
	refused "not its root" "$tree/src"
	sed -i '/ADD YOUR MODULE HERE/d' "$tree/src/probe_modules/probe_modules.c"
	refused "no marked place" "$tree"
	fresh_tree
	sed -i 's/, uint16_t ip_id//' "$tree/src/probe_modules/probe_modules.h"
	refused "ZMap 4.0" "$tree"
	fresh_tree
	sed -i 's/^set(EXTRA_PROBE_MODULES/& probe_modules\/own.c/' "$tree/src/CMakeLists.txt"
	refused "list on one line" "$tree"
}

test_failure_leaves_tree() {
	fresh_tree
	copy_module
	rm "$work/module/zmap4/module.c"
	state "$tree" >"$work/before"
	run "$work/module/zmap4/add-to-zmap.sh" "$tree"
	expect "failure: status" "$status" 1
	state "$tree" >"$work/after"
	expect "failure: tree" "$(diff "$work/before" "$work/after")" ""
}

test_adds
test_twice
test_update
test_refusals
test_failure_leaves_tree
report
