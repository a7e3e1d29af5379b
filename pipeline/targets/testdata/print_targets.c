/* Prints the targets of a target file in hexadecimal, one a line, as the probe module reads them. */
#include <inttypes.h>
#include <stdio.h>

#include "target_file.h"

int main(int argc, char **argv)
{
	char error[TARGET_FILE_ERROR_BYTES];
	struct target_file file;

	if (argc != 2 || !target_file_open(argv[0], argv[1], &file, error)) {
		puts(argc == 2 ? error : "usage: print_targets FILE");
		return 1;
	}
	for (uint32_t i = 0; i < file.count; i++) {
		struct ip_address address = target_file_address(&file, i);

		if (address.family == IP_FAMILY_4)
			printf("%08" PRIx64 "\n", address.low);
		else
			printf("%016" PRIx64 "%016" PRIx64 "\n", address.high, address.low);
	}
	return 0;
}
