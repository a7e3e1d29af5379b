#include "fuzz.h"

#include <string.h>

#include "../wire/target_file.h"

bool fuzz_accepted;

/* The format's table in target_file.h, read one byte after the other. */
static bool naive_accepts(const uint8_t *data, size_t size)
{
	unsigned long long count = 0;
	size_t record_bytes;

	if (size < 32 || memcmp(data, "mptarget\1", 9) != 0)
		return false;
	for (int i = 10; i < 32; i++) {
		if (data[i] != 0 && (i < 16 || i >= 24))
			return false;
	}
	for (int i = 16; i < 24; i++)
		count = count * 256 + data[i];
	record_bytes = data[9] == 4 ? 4 : data[9] == 6 ? 16 : 0;
	return record_bytes != 0 && count > 0 && count == (size - 32) / record_bytes &&
	       (size - 32) % record_bytes == 0;
}

static void require_one_line(const char *error)
{
	size_t length = strlen(error);

	REQUIRE(length > 0 && length < TARGET_FILE_ERROR_BYTES);
	for (size_t i = 0; i < length; i++)
		REQUIRE(error[i] >= ' ' && error[i] <= '~');
}

/* The records are exactly what follows the header. */
static void require_sound(const struct target_file *file, const uint8_t *data,
			  size_t size)
{
	size_t record_bytes = file->family == IP_FAMILY_6 ? 16 : 4;
	uint8_t record[16];

	for (uint32_t index = 0; index < file->count; index++) {
		struct ip_address address = target_file_address(file, index);

		REQUIRE(address.family == file->family);
		if (file->family == IP_FAMILY_6)
			store_address_6(record, address);
		else
			store_address_4(record, address);
		REQUIRE(32 + (index + 1) * record_bytes <= size);
		REQUIRE(memcmp(record, data + 32 + index * record_bytes, record_bytes) ==
			0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *error = calloc(1, TARGET_FILE_ERROR_BYTES);
	struct target_file file;

	fuzz_accepted = target_file_read(data, size, &file, error);
	REQUIRE(fuzz_accepted == naive_accepts(data, size));
	if (fuzz_accepted)
		require_sound(&file, data, size);
	else
		require_one_line(error);
	free(error);
	return 0;
}
