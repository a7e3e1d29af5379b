#define _POSIX_C_SOURCE 200809L
#include "target_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cursor.h"
#include "error_line.h"

#define MAKE_ONE "make one with mpcensus targets build"
#define BUILD_AGAIN "make it again with mpcensus targets build"

static const char magic[8] = {'m', 'p', 't', 'a', 'r', 'g', 'e', 't'};

static size_t record_bytes(enum ip_family family)
{
	return family == IP_FAMILY_6 ? IPV6_ADDRESS_BYTES : IPV4_ADDRESS_BYTES;
}

/* The count is bounded before it is multiplied, so the product cannot wrap. */
bool target_file_read(const uint8_t *bytes, size_t length, struct target_file *file,
		      char error[TARGET_FILE_ERROR_BYTES])
{
	struct cursor header = cursor_over(bytes, length);
	const uint8_t *start = cursor_take(&header, sizeof magic);
	uint8_t version = cursor_u8(&header), family = cursor_u8(&header);
	uint64_t reserved = cursor_big_endian(&header, 6);
	uint64_t count = cursor_u64(&header);
	uint64_t expected;

	reserved |= cursor_u64(&header);
	if (start == NULL || memcmp(start, magic, sizeof magic) != 0) {
		error_line(error, TARGET_FILE_ERROR_BYTES,
			   "is no target file; " MAKE_ONE);
		return false;
	}
	if (header.overrun) {
		error_line(error, TARGET_FILE_ERROR_BYTES,
			   "ends within its header; " BUILD_AGAIN);
		return false;
	}
	if (version != 1) {
		error_line(error, TARGET_FILE_ERROR_BYTES,
			   "has format version %u, this module reads 1; " BUILD_AGAIN,
			   version);
		return false;
	}
	if ((family != IP_FAMILY_4 && family != IP_FAMILY_6) || reserved != 0) {
		error_line(error, TARGET_FILE_ERROR_BYTES,
			   "has a damaged header; " BUILD_AGAIN);
		return false;
	}
	if (count == 0 || count > TARGET_FILE_MAX_COUNT) {
		error_line(error, TARGET_FILE_ERROR_BYTES,
			   "lists %" PRIu64 " addresses, a scan takes 1 to %u; "
			   "split or extend the hitlist",
			   count, TARGET_FILE_MAX_COUNT);
		return false;
	}
	file->family = (enum ip_family)family;
	file->count = (uint32_t)count;
	expected = TARGET_FILE_HEADER_BYTES + count * record_bytes(file->family);
	if (length != expected) {
		error_line(error, TARGET_FILE_ERROR_BYTES,
			   "has %zu bytes, its %" PRIu64 " addresses need %" PRIu64
			   "; " BUILD_AGAIN,
			   length, count, expected);
		return false;
	}
	file->records = bytes + TARGET_FILE_HEADER_BYTES;
	return true;
}

/* What is said at a fault within the mapping. A signal handler could not compose it. */
static struct {
	const uint8_t *bytes;
	size_t length;
	char line[1024];
} mapped;

static void end_scan(int signal_number, siginfo_t *info, void *context)
{
	ssize_t written;

	(void)context;
	if ((uintptr_t)info->si_addr - (uintptr_t)mapped.bytes >= mapped.length) {
		/* Not ours: the access is tried again, and ends as it would have. */
		signal(signal_number, SIG_DFL);
		return;
	}
	written = write(STDERR_FILENO, mapped.line, strlen(mapped.line));
	(void)written;
	_exit(EXIT_FAILURE);
}

/* The kernel answers by SIGBUS if the file has become shorter, or its disk has failed. */
static void explain_faults(const char *module, const char *path, const uint8_t *bytes,
			   size_t length)
{
	struct sigaction action = {.sa_sigaction = end_scan, .sa_flags = SA_SIGINFO};

	mapped.bytes = bytes;
	mapped.length = length;
	error_line(mapped.line, sizeof mapped.line - 1,
		   "%s: %s was cut short during the scan, or its disk failed", module,
		   path);
	strcat(mapped.line, "\n");
	sigaction(SIGBUS, &action, NULL);
}

static bool map(int descriptor, const uint8_t **bytes, size_t *length,
		char error[TARGET_FILE_ERROR_BYTES])
{
	struct stat status;
	void *mapping;

	if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
		error_line(error, TARGET_FILE_ERROR_BYTES,
			   "is not a regular file; " MAKE_ONE);
		return false;
	}
	*length = (size_t)status.st_size;
	/* mmap refuses a length of 0: an empty file is no target file either way. */
	*bytes = (const uint8_t *)"";
	if (*length == 0)
		return true;
	mapping = mmap(NULL, *length, PROT_READ, MAP_SHARED, descriptor, 0);
	if (mapping == MAP_FAILED) {
		error_line(error, TARGET_FILE_ERROR_BYTES, "cannot be mapped: %s",
			   strerror(errno));
		return false;
	}
	*bytes = mapping;
	return true;
}

bool target_file_open(const char *module, const char *path, struct target_file *file,
		      char error[TARGET_FILE_ERROR_BYTES])
{
	/* A FIFO without a writer would otherwise be waited for. */
	int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	const uint8_t *bytes;
	size_t length;
	bool is_mapped;

	if (descriptor < 0) {
		error_line(error, TARGET_FILE_ERROR_BYTES, "cannot be read: %s",
			   strerror(errno));
		return false;
	}
	is_mapped = map(descriptor, &bytes, &length, error);
	close(descriptor);
	if (!is_mapped)
		return false;
	explain_faults(module, path, bytes, length);
	return target_file_read(bytes, length, file, error);
}

static bool is_before(struct ip_address a, struct ip_address b)
{
	return a.high < b.high || (a.high == b.high && a.low < b.low);
}

bool target_file_find(const struct target_file *file, struct ip_address address,
		      uint32_t *record)
{
	uint32_t first = 0, behind = file->count;

	while (first < behind) {
		uint32_t middle = first + (behind - first) / 2;

		if (is_before(target_file_address(file, middle), address))
			first = middle + 1;
		else
			behind = middle;
	}
	*record = first;
	return first < file->count &&
	       ip_address_equal(target_file_address(file, first), address);
}
