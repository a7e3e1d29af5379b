#include "quote.h"

#include "target_file.h"

static bool same_label(const struct scan *scan, uint32_t quoted, uint32_t sent)
{
	return ((quoted ^ sent) & label_mask(scan->family)) == 0;
}

/* Rules (a) and (b). */
static bool by_sequence_number(const struct scan *scan, const struct quote *quote,
			       struct target *target)
{
	uint32_t index = permutation_invert(&scan->order, quote->seq);
	struct probe_state sent;

	if (index >= scan_probe_count(scan))
		return false;
	*target = scan_target_at(scan, index);
	if (ip_address_equal(quote->destination, target->address) &&
	    quote->port == target->port)
		return true;
	sent = scan_probe_state(scan, target);
	return quote->our_port == sent.source_port &&
	       same_label(scan, quote->label, sent.label);
}

/* How far a quote is behind the first probe of its target; any other number if it is none. */
static uint32_t ttls_behind(const struct scan *scan, const struct quote *quote,
			    const struct target *target, const struct probe_state *first)
{
	if (scan->family == IP_FAMILY_4)
		return (quote->label - first->label) & label_mask(IP_FAMILY_4);
	if (!quote->has_window || !same_label(scan, quote->label, first->label))
		return UINT32_MAX;
	return (uint16_t)(quote->window - syn_window_ipv6(scan_probe_mark(scan, target)));
}

/* Rule (c). */
static bool by_destination(const struct scan *scan, const struct quote *quote,
			   struct target *target)
{
	uint32_t ttls = ttl_count(scan->ttls), record, behind;
	struct probe_state first;

	if (quote->port != scan->port ||
	    !target_file_find(&scan->targets, quote->destination, &record))
		return false;
	*target = scan_target_at(scan, record * ttls);
	first = scan_probe_state(scan, target);
	behind = ttls_behind(scan, quote, target, &first);
	if (quote->our_port != first.source_port || behind >= ttls)
		return false;
	target->index += behind;
	return true;
}

bool quote_recognise(const struct scan *scan, const struct quote *quote,
		     struct target *target)
{
	if (!scan_is_trace(scan))
		return scan_recognise(scan, quote->destination, quote->port,
				      quote->our_port, quote->seq, target) == SCAN_OURS;
	return by_sequence_number(scan, quote, target) ||
	       by_destination(scan, quote, target);
}
