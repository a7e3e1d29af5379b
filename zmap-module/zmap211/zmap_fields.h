/*
 * What row/row.c needs of ZMap's fieldsets, for ZMap 2.1.1. zmap4/zmap_fields.h has the
 * same names for ZMap 4.
 */
#ifndef MPCENSUS_ZMAP211_ZMAP_FIELDS_H
#define MPCENSUS_ZMAP211_ZMAP_FIELDS_H

#include <stdbool.h>

#include "abi.h"

#define FIELD_SADDR_RAW "saddr-raw"
#define FIELD_DADDR_RAW "daddr-raw"
/* ZMap 2.1.1 knows no bool. */
#define FIELD_SUCCESS_TYPE "int"

/* `text` stays the caller's, who keeps it until the row is written. */
static inline void field_add_string(struct fieldset *fs, const char *name,
				    const char *text)
{
	fs_add_string(fs, name, text, 0);
}

/*
 * ZMap evaluates an --output-filter such as `mptcp = capable` with strcmp on whatever the
 * field holds, so a NULL pointer there would let one RST end the scan. Outputs go by the
 * type alone: the empty string behind it is never printed.
 */
static inline void field_add_null_string(struct fieldset *fs, const char *name)
{
	fs_add_string(fs, name, "", 0);
	fs->fields[fs->len - 1].type = FS_NULL;
}

static inline void field_add_int(struct fieldset *fs, const char *name, uint64_t value)
{
	fs_add_uint64(fs, name, value);
}

static inline void field_add_null_int(struct fieldset *fs, const char *name)
{
	fs_add_null(fs, name);
}

static inline void field_add_success(struct fieldset *fs, bool success)
{
	fs_add_uint64(fs, "success", success);
}

/* Of a field that ZMap has already added. */
static inline void field_set_string(struct fieldset *fs, const char *name,
				    const char *text)
{
	fs_modify_string(fs, name, text, 0);
}

static inline void field_set_int(struct fieldset *fs, const char *name, uint64_t value)
{
	fs_modify_uint64(fs, name, value);
}

static inline void field_set_null_int(struct fieldset *fs, const char *name)
{
	fs_modify_null(fs, name);
}

#endif
