/* ZMap's fieldset functions as far as the row test needs them. */
#include <string.h>

#include "zmap_fields.h"

static struct field *append(struct fieldset *fs, const char *name, int type)
{
	struct field *field = &fs->fields[fs->len++];

	*field = (struct field){.name = name, .type = type};
	return field;
}

static struct field *find(struct fieldset *fs, const char *name)
{
	for (int i = 0; i < fs->len; i++) {
		if (strcmp(fs->fields[i].name, name) == 0)
			return &fs->fields[i];
	}
	return append(fs, name, FS_NULL);
}

void fs_add_string(struct fieldset *fs, const char *name, const char *value, int free_)
{
	struct field *field = append(fs, name, FS_STRING);

	field->value.ptr = (void *)(uintptr_t)value;
	field->free_ = free_;
}

void fs_add_uint64(struct fieldset *fs, const char *name, uint64_t value)
{
	append(fs, name, FS_UINT64)->value.num = value;
}

void fs_add_null(struct fieldset *fs, const char *name)
{
	append(fs, name, FS_NULL);
}

void fs_modify_string(struct fieldset *fs, const char *name, const char *value, int free_)
{
	struct field *field = find(fs, name);

	field->type = FS_STRING;
	field->value.ptr = (void *)(uintptr_t)value;
	field->free_ = free_;
}

void fs_modify_uint64(struct fieldset *fs, const char *name, uint64_t value)
{
	struct field *field = find(fs, name);

	field->type = FS_UINT64;
	field->value.num = value;
}

void fs_modify_null(struct fieldset *fs, const char *name)
{
	struct field *field = find(fs, name);

	field->type = FS_NULL;
	field->value.ptr = NULL;
}
