#define _POSIX_C_SOURCE 200809L
#include "../wire/target_file.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

/* The header as the table in target_file.h has it, and two records. */
static const uint8_t two_ipv4[] = {
    'm', 'p', 't', 'a', 'r', 'g', 'e', 't', 1, 4, 0, 0, 0,   0, 0, 0, 0,   0,  0,   0,
    0,   0,   0,   2,   0,   0,   0,   0,   0, 0, 0, 0, 192, 0, 2, 1, 198, 51, 100, 7,
};
static const uint8_t two_ipv6[] = {
    'm',  'p',  't',  'a',  'r',  'g',  'e',  't',  1,    6,    0,    0,    0, 0, 0, 0,
    0,    0,    0,    0,    0,    0,    0,    2,    0,    0,    0,    0,    0, 0, 0, 0,
    0x20, 0x01, 0x0d, 0xb8, 0,    0,    0,    0,    0,    0,    0,    0,    0, 0, 0, 1,
    0x20, 0x01, 0x0d, 0xb8, 0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10, 0, 1, 2, 3,
};

#define BUILD_AGAIN "; make it again with mpcensus targets build"
#define NOT_REGULAR "is not a regular file; make one with mpcensus targets build"
#define NO_TARGET_FILE "is no target file; make one with mpcensus targets build"

static void test_ipv4(void)
{
	struct target_file file;
	char error[TARGET_FILE_ERROR_BYTES];

	CHECK(target_file_read(two_ipv4, sizeof two_ipv4, &file, error));
	CHECK_EQ("family", file.family, IP_FAMILY_4);
	CHECK_EQ("count", file.count, 2);
	CHECK(ip_address_equal(target_file_address(&file, 0), ip_address_4(0xc0000201)));
	CHECK(ip_address_equal(target_file_address(&file, 1), ip_address_4(0xc6336407)));
}

static void test_ipv6(void)
{
	struct ip_address last = {
	    .family = IP_FAMILY_6, .high = 0x20010db8fedcba98, .low = 0x7654321000010203};
	struct target_file file;
	char error[TARGET_FILE_ERROR_BYTES];

	CHECK(target_file_read(two_ipv6, sizeof two_ipv6, &file, error));
	CHECK_EQ("family", file.family, IP_FAMILY_6);
	CHECK_EQ("count", file.count, 2);
	CHECK(ip_address_equal(target_file_address(&file, 1), last));
	CHECK(!ip_address_equal(target_file_address(&file, 0), last));
}

/* One change to a good file of two IPv4 records. */
static const struct {
	const char *what;
	size_t length;
	size_t at;
	uint8_t value;
	const char *error;
} defects[] = {
    {"empty", 0, 0, 'm', NO_TARGET_FILE},
    {"magic cut", 7, 0, 'm', NO_TARGET_FILE},
    {"other magic", 40, 7, 'T', NO_TARGET_FILE},
    {"magic alone", 8, 0, 'm', "ends within its header" BUILD_AGAIN},
    {"header cut", 31, 0, 'm', "ends within its header" BUILD_AGAIN},
    {"version 0", 40, 8, 0, "has format version 0, this module reads 1" BUILD_AGAIN},
    {"version 2", 40, 8, 2, "has format version 2, this module reads 1" BUILD_AGAIN},
    {"family 5", 40, 9, 5, "has a damaged header" BUILD_AGAIN},
    {"family 0", 40, 9, 0, "has a damaged header" BUILD_AGAIN},
    {"reserved byte 10", 40, 10, 1, "has a damaged header" BUILD_AGAIN},
    {"reserved byte 15", 40, 15, 0x80, "has a damaged header" BUILD_AGAIN},
    {"reserved byte 24", 40, 24, 1, "has a damaged header" BUILD_AGAIN},
    {"reserved byte 31", 40, 31, 1, "has a damaged header" BUILD_AGAIN},
    {"count 0", 40, 23, 0,
     "lists 0 addresses, a scan takes 1 to 4278190080; split or extend the hitlist"},
    {"count 2^32 - 2^25 + 2", 40, 20, 0xfe,
     "has 40 bytes, its 4261412866 addresses need 17045651496" BUILD_AGAIN},
    {"count 2^32 - 2^24 + 2", 40, 20, 0xff,
     "lists 4278190082 addresses, a scan takes 1 to 4278190080; "
     "split or extend the hitlist"},
    {"count 2^32 + 2", 40, 19, 1,
     "lists 4294967298 addresses, a scan takes 1 to 4278190080; "
     "split or extend the hitlist"},
    /* times 4 this is 8 again in 64 bits: exactly the records that are there */
    {"count 2^62 + 2", 40, 16, 0x40,
     "lists 4611686018427387906 addresses, a scan takes 1 to 4278190080; "
     "split or extend the hitlist"},
    {"count 1", 40, 23, 1, "has 40 bytes, its 1 addresses need 36" BUILD_AGAIN},
    {"count 3", 40, 23, 3, "has 40 bytes, its 3 addresses need 44" BUILD_AGAIN},
    {"IPv6 records", 40, 9, 6, "has 40 bytes, its 2 addresses need 64" BUILD_AGAIN},
    {"no records", 32, 0, 'm', "has 32 bytes, its 2 addresses need 40" BUILD_AGAIN},
    {"record cut", 39, 0, 'm', "has 39 bytes, its 2 addresses need 40" BUILD_AGAIN},
    {"a byte more", 41, 0, 'm', "has 41 bytes, its 2 addresses need 40" BUILD_AGAIN},
};

static void test_defects(void)
{
	for (size_t i = 0; i < sizeof defects / sizeof defects[0]; i++) {
		/* Of exactly that size, for the address sanitizer. */
		uint8_t *bytes = calloc(1, defects[i].length > 0 ? defects[i].length : 1);
		struct target_file file;
		char error[TARGET_FILE_ERROR_BYTES] = "";

		for (size_t at = 0; at < defects[i].length; at++)
			bytes[at] = at == defects[i].at    ? defects[i].value
				    : at < sizeof two_ipv4 ? two_ipv4[at]
							   : 0;
		CHECK_EQ(defects[i].what,
			 target_file_read(bytes, defects[i].length, &file, error), false);
		CHECK_TEXT(error, defects[i].error);
		free(bytes);
	}
}

static void test_open(void)
{
	char folder[] = "/tmp/target_file_test.XXXXXX", path[64];
	struct target_file file;
	char error[TARGET_FILE_ERROR_BYTES];
	FILE *out;

	CHECK(mkdtemp(folder) != NULL);
	snprintf(path, sizeof path, "%s/targets", folder);

	CHECK(!target_file_open("mptcp_synscan", path, &file, error));
	CHECK_TEXT(error, "cannot be read: No such file or directory");
	CHECK(!target_file_open("mptcp_synscan", folder, &file, error));
	CHECK_TEXT(error, NOT_REGULAR);
	CHECK(!target_file_open("mptcp_synscan", "/dev/null", &file, error));
	CHECK_TEXT(error, NOT_REGULAR);
	/* Nobody writes to it: not waited for. */
	CHECK(mkfifo(path, 0600) == 0);
	CHECK(!target_file_open("mptcp_synscan", path, &file, error));
	CHECK_TEXT(error, NOT_REGULAR);
	unlink(path);

	out = fopen(path, "wb");
	CHECK(out != NULL);
	CHECK(!target_file_open("mptcp_synscan", path, &file, error));
	CHECK_TEXT(error, NO_TARGET_FILE);
	CHECK_EQ("written", fwrite(two_ipv6, 1, sizeof two_ipv6, out), sizeof two_ipv6);
	fclose(out);
	CHECK(target_file_open("mptcp_synscan", path, &file, error));
	/* The mapping outlives the name. */
	unlink(path);
	rmdir(folder);
	CHECK_EQ("count", file.count, 2);
	CHECK_EQ("last byte", target_file_address(&file, 1).low & 0xff, 3);
}

/* A file that is cut short under a scan ends it, with one line and without a crash. */
static void test_truncated_later(void)
{
	enum { COUNT = 4096 };
	char path[] = "/tmp/target_file_test.XXXXXX", error[TARGET_FILE_ERROR_BYTES];
	char line[256] = "", expected[256];
	uint8_t header[TARGET_FILE_HEADER_BYTES];
	int descriptor = mkstemp(path), ends[2], status = 0;
	struct target_file file;
	pid_t child;

	memcpy(header, two_ipv6, sizeof header);
	header[22] = COUNT >> 8;
	header[23] = 0;
	CHECK(descriptor >= 0 && pipe(ends) == 0);
	CHECK(write(descriptor, header, sizeof header) == sizeof header);
	CHECK(ftruncate(descriptor, TARGET_FILE_HEADER_BYTES + COUNT * 16) == 0);
	child = fork();
	if (child == 0) {
		dup2(ends[1], STDERR_FILENO);
		if (!target_file_open("mptcp_synscan", path, &file, error) ||
		    ftruncate(descriptor, 0))
			_exit(99);
		_exit((int)target_file_address(&file, COUNT - 1).low);
	}
	close(ends[1]);
	CHECK(waitpid(child, &status, 0) == child);
	CHECK_EQ("exit code", WIFEXITED(status) ? WEXITSTATUS(status) : 999, 1);
	CHECK(read(ends[0], line, sizeof line - 1) > 0);
	snprintf(expected, sizeof expected,
		 "mptcp_synscan: %s was cut short during the scan, or its disk failed\n",
		 path);
	CHECK_TEXT(line, expected);
	close(ends[0]);
	close(descriptor);
	unlink(path);
}

/* Every record, what lies around them, and whatever else; held against a look at all. */
static void check_find(const struct target_file *file, bool ascending)
{
	uint64_t seed = 11;

	for (int i = 0; i < 20000; i++) {
		struct ip_address address = target_file_address(
		    file, (uint32_t)check_random(&seed) % file->count);
		uint32_t record = UINT32_MAX, expected = 0;
		bool found;

		address.low += check_random(&seed) % 3 - 1;
		if (i % 8 == 0)
			address.low =
			    check_random(&seed) >> (file->family == IP_FAMILY_4 ? 32 : 0);
		if (file->family == IP_FAMILY_6 && i % 8 == 1)
			address.high += check_random(&seed) % 3 - 1;
		if (file->family == IP_FAMILY_4)
			address.low &= UINT32_MAX;
		while (expected < file->count &&
		       !ip_address_equal(target_file_address(file, expected), address))
			expected++;
		found = target_file_find(file, address, &record);
		if (found)
			CHECK(
			    ip_address_equal(target_file_address(file, record), address));
		if (ascending)
			CHECK_EQ("found", found ? record : file->count, expected);
	}
}

static void test_find(enum ip_family family)
{
	size_t bytes = family == IP_FAMILY_6 ? 16 : 4;
	uint8_t records[97 * 16] = {0};
	struct target_file file = {.records = records, .family = family};
	struct ip_address other = family == IP_FAMILY_6
				      ? ip_address_4(0)
				      : (struct ip_address){.family = IP_FAMILY_6};
	uint32_t record;

	for (unsigned i = 0; i < 97; i++) {
		uint8_t *at = records + i * bytes;

		/* In gaps of 0 to 2, from 0 to the last address of all. */
		memset(at, i == 96 ? 0xff : (int)(i / 40), bytes);
		at[bytes - 1] = (uint8_t)(i == 96 ? 0xff : i / 40 + i % 40 * 3 / 2);
	}
	for (file.count = 1; file.count <= 97; file.count += 12)
		check_find(&file, true);
	file.count = 97;
	CHECK(!target_file_find(&file, other, &record));

	/* Out of order, something may be missed, but nothing made up. */
	for (size_t i = 0; i < 48 * bytes; i++) {
		uint8_t kept = records[i];

		records[i] = records[96 * bytes - 1 - i];
		records[96 * bytes - 1 - i] = kept;
	}
	check_find(&file, false);
}

int main(void)
{
	test_ipv4();
	test_ipv6();
	test_defects();
	test_open();
	test_truncated_later();
	test_find(IP_FAMILY_4);
	test_find(IP_FAMILY_6);
	return check_report("target_file_test");
}
