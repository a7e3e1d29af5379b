#ifndef FIELDSET_H
#define FIELDSET_H

#include <stdint.h>

#define MAX_FIELDS 128
#define FS_NULL 4

typedef struct field_def {
	const char *name, *type, *desc;
} fielddef_t;

typedef struct field {
	const char *name;
	int type;
} field_t;

typedef struct fieldset {
	int len;
	field_t fields[MAX_FIELDS];
} fieldset_t;

void fs_add_null(fieldset_t *fs, const char *name);
void fs_add_uint64(fieldset_t *fs, const char *name, uint64_t value);
void fs_add_bool(fieldset_t *fs, const char *name, int value);
void fs_add_constchar(fieldset_t *fs, const char *name, const char *value);
void fs_modify_null(fieldset_t *fs, const char *name);
void fs_modify_uint64(fieldset_t *fs, const char *name, uint64_t value);
void fs_modify_string(fieldset_t *fs, const char *name, char *value, int free_);

#endif
