#include "../wire/hex.h"

#include "check.h"

int main(void)
{
	static const uint8_t bytes[] = {0x00, 0x1e, 0xab, 0xff};
	uint8_t decoded[4];
	char text[9];

	hex_encode(bytes, sizeof bytes, text);
	CHECK_TEXT(text, "001eabff");
	hex_encode(NULL, 0, text);
	CHECK_TEXT(text, "");

	CHECK(hex_decode("001EaBff", decoded, 4));
	CHECK(memcmp(decoded, bytes, 4) == 0);
	CHECK(!hex_decode("001eabf", decoded, 4));
	CHECK(!hex_decode("001eabfg", decoded, 4));
	CHECK(!hex_decode("001eab:f", decoded, 4));
	CHECK(!hex_decode("", decoded, 1));
	CHECK(hex_decode("", decoded, 0));
	return check_report("hex_test");
}
