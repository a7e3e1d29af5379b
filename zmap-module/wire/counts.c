#include "counts.h"

#include <inttypes.h>

void counts_add(struct reply_counts *counts, enum reply_status status)
{
	counts->by_status[status]++;
}

static uint64_t invalid(const struct reply_counts *counts)
{
	uint64_t sum = 0;

	for (int status = REPLY_ACCEPTED + 1; status < REPLY_STATUS_COUNT; status++)
		sum += counts->by_status[status];
	return sum;
}

static void print_reasons(FILE *file, const struct reply_counts *counts)
{
	const char *comma = "";

	for (int status = REPLY_ACCEPTED + 1; status < REPLY_STATUS_COUNT; status++) {
		if (counts->by_status[status] == 0)
			continue;
		fprintf(file, "%s\"%s\":%" PRIu64, comma,
			reply_status_name((enum reply_status)status),
			counts->by_status[status]);
		comma = ",";
	}
}

void counts_print(FILE *file, const char *module, const struct reply_counts *counts,
		  const uint64_t *packets_sent, const uint64_t *send_failures)
{
	uint64_t refused = invalid(counts);

	fprintf(file, "%s: counts {", module);
	if (packets_sent != NULL)
		fprintf(file, "\"packets_sent\":%" PRIu64 ",", *packets_sent);
	if (send_failures != NULL)
		fprintf(file, "\"send_failures\":%" PRIu64 ",", *send_failures);
	fprintf(file,
		"\"received\":%" PRIu64 ",\"invalid\":%" PRIu64
		",\"invalid_by_reason\":{",
		counts->by_status[REPLY_ACCEPTED] + refused, refused);
	print_reasons(file, counts);
	fprintf(file, "}}\n");
}
