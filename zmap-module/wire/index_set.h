/*
 * The targets that ZMap is given in an indexed scan: 1.0.0.0 stands for record 0 of the
 * target file, and so on. ZMap never sends to 0.0.0.0, so the base cannot be that.
 */
#ifndef MPCENSUS_INDEX_SET_H
#define MPCENSUS_INDEX_SET_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define INDEX_BASE 0x01000000u /* 1.0.0.0 */

/*
 * Whether ZMap's CIDR arguments are `indices` addresses from the base on, block after
 * block, without gap or overlap.
 *
 * ZMap writes a NUL over the slash of each before a module sees them. Their full texts are
 * therefore looked up in `command_line`, where arguments end with NUL, as in
 * /proc/self/cmdline.
 */
bool index_set_matches(char *const *cidrs, int cidr_count, FILE *command_line,
		       uint32_t indices);

#endif
