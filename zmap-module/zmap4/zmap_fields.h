/*
 * What row/row.c needs of ZMap's fieldsets, for ZMap 4. zmap211/zmap_fields.h has the same
 * names for ZMap 2.1.1.
 *
 * ZMap 4 ends the scan if a field is added out of the order of its definitions, or if one
 * is changed that is not there.
 */
#ifndef MPCENSUS_ZMAP4_ZMAP_FIELDS_H
#define MPCENSUS_ZMAP4_ZMAP_FIELDS_H

#include <stdbool.h>

#include "fieldset.h"

#define FIELD_SADDR_RAW "saddr_raw"
#define FIELD_DADDR_RAW "daddr_raw"
#define FIELD_SUCCESS_TYPE "bool"

/* `text` stays the caller's, who keeps it until the row is written. */
static inline void field_add_string(struct fieldset *fs, const char *name,
				    const char *text)
{
	fs_add_constchar(fs, name, text);
}

/*
 * ZMap evaluates an --output-filter such as `mptcp = capable` with strcmp on whatever the
 * field holds, so a NULL pointer there would let one RST end the scan. Outputs go by the
 * type alone: the empty string behind it is never printed.
 */
static inline void field_add_null_string(struct fieldset *fs, const char *name)
{
	fs_add_constchar(fs, name, "");
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
	fs_add_bool(fs, "success", success);
}

/* Of a field that ZMap has already added. ZMap does not write to the text. */
static inline void field_set_string(struct fieldset *fs, const char *name,
				    const char *text)
{
	fs_modify_string(fs, name, (char *)text, 0);
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
