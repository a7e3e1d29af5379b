#include "../wire/siphash.h"

#include "check.h"

/*
 * Key 00 01 .. 0f, message 00 01 .. of 0 to 15 bytes. The 15-byte case is the worked
 * example of the paper's appendix A, the others are of its authors' table of vectors.
 */
static const uint64_t published[16] = {
    0x726fdb47dd0e0e31, 0x74f839c593dc67fd, 0x0d6c8009d9a94f5a, 0x85676696d7fb7e2d,
    0xcf2794e0277187b7, 0x18765564cd99a68d, 0xcbc9466e58fee3ce, 0xab0200f58b01d137,
    0x93f5f5799a932462, 0x9e0082df0ba9e4b0, 0x7a5dbbc594ddb9f3, 0xf4b32f46226bada7,
    0x751e8fbc860ee5fb, 0x14ea5627c0843d90, 0xf723ca908e7af2ee, 0xa129ca6149be45e5,
};

int main(void)
{
	uint8_t counting[SIPHASH_KEY_BYTES];
	struct siphash_key key;

	for (uint8_t i = 0; i < sizeof counting; i++)
		counting[i] = i;
	key = siphash_key(counting);
	for (size_t length = 0; length < 16; length++)
		CHECK_EQ("published vector", siphash24(&key, counting, length),
			 published[length]);
	return check_report("siphash_test");
}
