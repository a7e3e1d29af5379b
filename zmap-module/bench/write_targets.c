/* Writes a target file of 2^22 sparse IPv6 addresses of the documentation prefix. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "../wire/store.h"

#define COUNT (1u << 22)

int main(void)
{
	uint8_t header[32] = "mptarget";
	uint64_t random = 88172645463325252u;

	header[8] = 1;
	header[9] = 6;
	store_u64(header + 16, COUNT);
	fwrite(header, sizeof header, 1, stdout);
	for (uint32_t i = 0; i < COUNT; i++) {
		uint8_t address[16];

		/* xorshift64 (Marsaglia 2003). */
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		store_u32(address, 0x20010db8);
		store_u32(address + 4, i << 10);
		store_u64(address + 8, random);
		fwrite(address, sizeof address, 1, stdout);
	}
	return fclose(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
