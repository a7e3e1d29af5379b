/*
 * The target file: the addresses of an indexed scan, written by `mpcensus targets build`.
 * All integers are big-endian.
 *
 *	 0  8  magic "mptarget"
 *	 8  1  format version: 1
 *	 9  1  family: 4 or 6
 *	10  6  zero
 *	16  8  count of records, from 1 on
 *	24  8  zero
 *	32     records of 4 (IPv4) or 16 bytes (IPv6), in ascending order, without duplicates
 *
 * Nothing follows the last record. Order is not checked here: that would read the whole
 * file, and a scan does not depend on it.
 */
#ifndef MPCENSUS_TARGET_FILE_H
#define MPCENSUS_TARGET_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "index_set.h"

#define TARGET_FILE_HEADER_BYTES 32
/* From the base of index_set.h to the last IPv4 address. */
#define TARGET_FILE_MAX_COUNT (UINT32_MAX - INDEX_BASE + 1)
#define TARGET_FILE_ERROR_BYTES 160

struct target_file {
	const uint8_t *records;
	uint32_t count;
	enum ip_family family;
};

/*
 * Reads the header, and holds `length` against it. `file` points into `bytes` afterwards.
 * If false, `error` is one line without newline and without the name of the file.
 */
bool target_file_read(const uint8_t *bytes, size_t length, struct target_file *file,
		      char error[TARGET_FILE_ERROR_BYTES]);

/*
 * Maps a file, for as long as the process lives. If it is truncated meanwhile, the process
 * ends with one line of `module` when it next reads what is gone.
 */
bool target_file_open(const char *module, const char *path, struct target_file *file,
		      char error[TARGET_FILE_ERROR_BYTES]);

/* `index` is below the count. */
static inline struct ip_address target_file_address(const struct target_file *file,
						    uint32_t index)
{
	if (file->family == IP_FAMILY_6)
		return ip_address_6(file->records + (size_t)index * IPV6_ADDRESS_BYTES);
	return ip_address_4(load_u32(file->records + (size_t)index * IPV4_ADDRESS_BYTES));
}

/*
 * The record of an address, by binary search. In a file whose records do not ascend it may
 * miss one, but never finds what is not there.
 */
bool target_file_find(const struct target_file *file, struct ip_address address,
		      uint32_t *record);

static inline void target_file_prefetch(const struct target_file *file, uint32_t index)
{
	size_t size =
	    file->family == IP_FAMILY_6 ? IPV6_ADDRESS_BYTES : IPV4_ADDRESS_BYTES;

	__builtin_prefetch(file->records + index * size);
}

#endif
