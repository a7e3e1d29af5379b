#include "probe_modules.h"

extern probe_module_t module_other;
// ADD YOUR MODULE HERE

probe_module_t *probe_modules[] = {
    &module_other,
    // ADD YOUR MODULE HERE
};

probe_module_t module_other = {.name = "other"};
struct state_conf zconf;

/* ZMap's JSON output has a function of this name. */
char *hex_encode(unsigned char *packet, int length);

char *hex_encode(unsigned char *packet, int length)
{
	return length > 0 ? (char *)packet : NULL;
}

#define UNUSED __attribute__((unused))

void fs_add_null(UNUSED fieldset_t *fs, UNUSED const char *name)
{
}
void fs_add_uint64(UNUSED fieldset_t *fs, UNUSED const char *name, UNUSED uint64_t value)
{
}
void fs_add_bool(UNUSED fieldset_t *fs, UNUSED const char *name, UNUSED int value)
{
}
void fs_add_constchar(UNUSED fieldset_t *fs, UNUSED const char *name,
		      UNUSED const char *value)
{
}
void fs_modify_null(UNUSED fieldset_t *fs, UNUSED const char *name)
{
}
void fs_modify_uint64(UNUSED fieldset_t *fs, UNUSED const char *name,
		      UNUSED uint64_t value)
{
}
void fs_modify_string(UNUSED fieldset_t *fs, UNUSED const char *name, UNUSED char *value,
		      UNUSED int free_)
{
}

int main(void)
{
	for (size_t i = 0; i < sizeof probe_modules / sizeof *probe_modules; i++)
		puts(probe_modules[i]->name);
	return 0;
}
