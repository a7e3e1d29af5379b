#include "../wire/counts.h"

#include "check.h"

/* What counts_print writes into a file, as one text. */
static const char *printed(const struct reply_counts *counts, const uint64_t *sent,
			   const uint64_t *failures)
{
	static char text[1024];
	FILE *file = tmpfile();
	size_t length;

	if (file == NULL)
		return "tmpfile failed";
	counts_print(file, "mptcp_synscan", counts, sent, failures);
	rewind(file);
	length = fread(text, 1, sizeof text - 1, file);
	text[length] = '\0';
	fclose(file);
	return text;
}

int main(void)
{
	struct reply_counts counts = {{0}};
	uint64_t sent = UINT64_MAX, failures = 3;

	CHECK_TEXT(printed(&counts, NULL, NULL),
		   "mptcp_synscan: counts "
		   "{\"received\":0,\"invalid\":0,\"invalid_by_reason\":{}}\n");

	for (int i = 0; i < 5; i++)
		counts_add(&counts, REPLY_ACCEPTED);
	counts_add(&counts, REPLY_FOREIGN_QUOTE);
	counts_add(&counts, REPLY_WRONG_ACK);
	counts_add(&counts, REPLY_WRONG_ACK);
	CHECK_TEXT(printed(&counts, &sent, &failures),
		   "mptcp_synscan: counts {\"packets_sent\":18446744073709551615,"
		   "\"send_failures\":3,\"received\":8,\"invalid\":3,"
		   "\"invalid_by_reason\":{\"wrong-ack\":2,\"foreign-quote\":1}}\n");
	CHECK_TEXT(printed(&counts, NULL, NULL),
		   "mptcp_synscan: counts {\"received\":8,\"invalid\":3,"
		   "\"invalid_by_reason\":{\"wrong-ack\":2,\"foreign-quote\":1}}\n");
	return check_report("counts_test");
}
