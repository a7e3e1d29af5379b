/*
 * How ZMap 2.1.1 is known. A wrong guess would mean a crash or a wrong packet, so four
 * independent marks must agree:
 *
 *  1. the program exports what abi.h refers to;
 *  2. the sizes of `zconf`, `zsend`, `probe_modules` and every module record, from the
 *     program's own symbol table, equal those of abi.h (a build without JSON support, with
 *     PF_RING or with one module more differs);
 *  3. the modules have the names of 2.1.1, in its order;
 *  4. the program's read-only data holds the string "2.1.1", which --version prints.
 */
#define _GNU_SOURCE
#include "identify.h"

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>

#include "abi.h"

#define SUPPORTED_VERSION "2.1.1"
#define UNKNOWN_VERSION "unknown"

static const char *const module_names[PROBE_MODULE_COUNT] = {
    "tcp_synscan", "icmp_echoscan", "icmp_echo_time", "udp", "ntp", "upnp",
};

static bool exports_abi(void)
{
	return &zconf != NULL && &zsend != NULL && probe_modules != NULL &&
	       fs_add_string != NULL && fs_add_uint64 != NULL && fs_add_null != NULL &&
	       fs_modify_string != NULL && fs_modify_uint64 != NULL &&
	       fs_modify_null != NULL;
}

/* The size that the symbol table gives an exported object; 0 if `address` starts none. */
static size_t object_size(const void *address)
{
	Dl_info info;
	void *entry = NULL;

	if (dladdr1(address, &info, &entry, RTLD_DL_SYMENT) == 0 || entry == NULL ||
	    info.dli_saddr != address)
		return 0;
	return ((const ElfW(Sym) *)entry)->st_size;
}

static bool sizes_match(void)
{
	if (object_size(&zconf) != sizeof zconf || object_size(&zsend) != sizeof zsend ||
	    object_size(probe_modules) != sizeof probe_modules)
		return false;
	for (int i = 0; i < PROBE_MODULE_COUNT; i++) {
		if (object_size(probe_modules[i]) != sizeof *probe_modules[i])
			return false;
	}
	return true;
}

static bool names_match(void)
{
	for (int i = 0; i < PROBE_MODULE_COUNT; i++) {
		if (strcmp(probe_modules[i]->name, module_names[i]) != 0)
			return false;
	}
	return true;
}

/* Whether `text` is digits, dot, digits, dot, digits and nothing else. */
static bool is_version(const char *text)
{
	static const char ends[] = {'.', '.', '\0'};

	for (int part = 0; part < 3; part++) {
		size_t digits = strspn(text, "0123456789");

		if (digits == 0 || text[digits] != ends[part])
			return false;
		text += digits + 1;
	}
	return true;
}

/* A string that starts behind one NUL and ends at another within the segment. */
static const char *find_version(const char *segment, size_t size)
{
	const char *last = memrchr(segment, '\0', size);

	for (const char *c = segment; last != NULL && c < last; c++) {
		if (*c == '\0' && is_version(c + 1))
			return c + 1;
	}
	return NULL;
}

/* dl_iterate_phdr reports the main program first: the walk stops there. */
static int search_main_program(struct dl_phdr_info *info, size_t size, void *found)
{
	const char **version = found;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum && *version == NULL; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		const char *start = (const char *)(info->dlpi_addr + segment->p_vaddr);

		if (segment->p_type == PT_LOAD && (segment->p_flags & PF_R) != 0 &&
		    (segment->p_flags & PF_W) == 0)
			*version = find_version(start, segment->p_filesz);
	}
	return 1;
}

const char *identify_version(void)
{
	const char *version = NULL;

	dl_iterate_phdr(search_main_program, &version);
	return version != NULL ? version : UNKNOWN_VERSION;
}

static bool has_version(void)
{
	return strcmp(identify_version(), UNKNOWN_VERSION) != 0;
}

/* "zmap", "zmap4", "zmap-4.3.4", but not "zmapper". */
static bool is_called_zmap(void)
{
	const char *name = program_invocation_short_name;

	return strncmp(name, "zmap", 4) == 0 && !isalpha((unsigned char)name[4]);
}

enum program identify_program(const char **problem)
{
	if (!exports_abi()) {
		*problem = "it exports no probe modules";
		/* A program of that name without a version may be a wrapper around ZMap. */
		return is_called_zmap() && has_version() ? PROGRAM_UNKNOWN_ZMAP
							 : PROGRAM_OTHER;
	}
	if (strcmp(identify_version(), SUPPORTED_VERSION) != 0) {
		*problem = "its version differs";
		return PROGRAM_UNKNOWN_ZMAP;
	}
	if (!sizes_match() || !names_match()) {
		*problem = "it was built with other options or other probe modules";
		return PROGRAM_UNKNOWN_ZMAP;
	}
	return PROGRAM_ZMAP211;
}
