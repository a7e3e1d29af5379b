package main

import "fmt"

// hostReasons are the tags with which the reasons of `hosts` begin, as they stand there: what is certain of
// the reply or key first.
var hostReasons = [][]string{
	{"`rst`", "Only RSTs came, or RSTs and ICMP messages.", "`closed`"},
	{"`icmp`", "Only ICMP messages came: type, code and sender of the one that decides.", "`unreachable`"},
	{"`no-mp-capable`", "A SYN-ACK without MP_CAPABLE; `options not recorded` where the row does not have its TCP options.", "`no-mptcp`"},
	{"`other-subtype`", "A SYN-ACK with an MPTCP option that is no MP_CAPABLE.", "`no-mptcp`"},
	{"`malformed-option`", "An MP_CAPABLE of a length that its version does not have, or cut off.", "`implausible`"},
	{"`unsolicited-mp-capable`", "MP_CAPABLE in reply to a plain or canary probe, which has none.", "`implausible`"},
	{"`wrong-version`", "MP_CAPABLE of another version than that of the probe.", "`implausible`"},
	{"`key-echo`", "The key that we sent came back.", "`mirrored`"},
	{"`option-echo`", "The MP_CAPABLE of 4 bytes without a key that we sent (v1) came back.", "`mirrored`"},
	{"`no-key`", "MP_CAPABLE without a key, but no echo either.", "`implausible`"},
	{"`zero-key`", "The key is 0.", "`implausible`"},
	{"`low-entropy`", "At most 3 different bytes in the key.", "`implausible`; where ours has as few, what `tampered` comes from decides first"},
	{"`key-replayed`", "The key is the one that we sent to another target of the scan.", "`tampered`"},
	{"`key-distance`", "At most 8 or at least 56 bits of the key differ from ours.", "`tampered`"},
	{"`bytes-kept`", "At least 4 bytes of our key in their places.", "`tampered`"},
	{"`key-reversed`", "The bytes of our key in reverse order.", "`tampered`"},
	{"`key-swapped`", "The bytes of our key in another order.", "`tampered`"},
	{"`key-shifted`", "A run of at least 4 bytes of our key at another place: by how many, positive towards the end.", "`tampered`"},
	{"`key-changed`", "SYN-ACKs of one connection (one sequence number, one port of ours) have several keys.", "`implausible`"},
	{"`repeated-key`", "The key came from several targets, or from one in several scans, of the whole dataset.", "`implausible`"},
	{"`constant-byte`", "Too many keys of the group have one value in one or two bytes.", group},
	{"`counter`", "Too many keys of the group lie near each other as numbers.", group},
	{"`biased-bit`", "Too many keys of the group, or too few, have a bit set.", group},
	{"`weight-outlier`", "Too many keys of the scan have this Hamming weight. *probability* is `excess_probability`.", "`implausible` where the weight condemns: instead of `key-plausible`"},
	{"`key-plausible`", "The key passed all tests.", "`potential`"},
	{"`canary-mirrored`", "The canary came back: what mirrors an option that no host knows mirrors any.", "`mirrored` instead of `potential`"},
	{"`canary-altered`", "Something came back where the canary was, but not as we sent it.", "none"},
	{"`conflicting-replies`", "The target's replies differ: how many kinds there were of each.", "none"},
}

// group is the verdict of what a group of keys has in common.
const group = "`implausible` if the key is one of those that the finding speaks against: instead of `key-plausible`; else none"

// treatmentReasons are those that `treatments` adds.
var treatmentReasons = [][]string{
	{"`no-answer`", "Nothing answered the probe with MP_CAPABLE, which was sent once. Stands for the reasons of `hosts`.", "`drops`, `unclear` or `closed`"},
	{"`plain`", "What answered the plain probe, unless it and the probe with MP_CAPABLE both got a SYN-ACK.", "`resets` or `drops` where it was a SYN-ACK"},
	{"`canary`", "What became of the canary, whichever probe of the campaign carried it; else what answered the canary probe, or why none did.", "`mirrors` instead of `supports`, `strips` instead of `ignores`, where it was mirrored"},
	{"`… MPTCP only`", "`resets` or `drops`: the canary probe got a SYN-ACK, so that it is not any unknown option.", "none"},
	{"`… unknown options`", "`resets` or `drops`: what befell the probe with MP_CAPABLE befell the canary probe.", "none"},
	{"`synack`", "A SYN-ACK to other probes of the campaign only.", "`unclear`"},
}

// finalReasons are those of `final_reasons`: which stripping it is, then what the connections say, then the path.
var finalReasons = [][]string{
	{"`stripped-syn`", "MP_CAPABLE is taken out of SYNs on the way to the host, as quotes show.", "with `removed`"},
	{"`stripped-synack`", "MP_CAPABLE is taken out of SYN-ACKs on the way back.", "with `synack-blanked`"},
	{"`stripped-data`", "MPTCP options are taken out of segments that are no SYNs.", "with `fallback-after-connect`, where no connection was proven and no box answers in the host's place"},
	{"`connected`", "Connections that were still MPTCP after bytes of a response.", "`true`, unless `answered-nearer`"},
	{"`fallback-at-connect`", "Connections whose SYN-ACK had no MP_CAPABLE.", "`middlebox-affected` if the verdict was `potential` and no connection was proven"},
	{"`fallback-after-connect`", "Connections that were MPTCP when established, and TCP after data.", "as `fallback-at-connect`"},
	{"`not-connected`", "No connection was established, be it MPTCP or TCP: how many were tried, and their outcomes.", "`unreachable` if the verdict was `potential` and the trace did not reach the host either"},
	{"`answered-nearer`", "The answer to MP_CAPABLE comes from nearer than that to the plain probe: a box answers in the host's place.", "`middlebox-affected`"},
	{"`removed`", "Quotes show MP_CAPABLE gone between these hops.", "`middlebox-affected`"},
	{"`changed`", "Quotes show MP_CAPABLE changed between these hops.", "`middlebox-affected`"},
	{"`dropped`", "The probe with MP_CAPABLE came no further than these hops, the plain one to the host.", "`middlebox-affected`"},
	{"`path-inconsistent`", "Quotes contradict each other, as those of several routers at one hop can.", "none"},
	{"`path-clean`", "Every quote that has the options has MP_CAPABLE as sent.", "`true` if the verdict was `potential` and MP_CAPABLE came back in the trace"},
	{"`path-unseen`", "No quote has the options, so that the path between is not seen.", "as `path-clean`"},
	{"`trace-answered`", "What answered in the host's name, and the least TTL of a probe that it answered.", "none"},
	{"`trace-unanswered`", "Nothing answered in the host's name.", "`unreachable` if the verdict was `potential` and no connection was established either"},
	{"`path-change`", "A field or option that quotes show changed: an entry of `changes` in `paths`.", "none"},
	{"`nat`", "Addresses or ports are rewritten on the way.", "none"},
	{"`seq-rewritten`", "Sequence numbers are rewritten on the way.", "none"},
	{"`load-balanced`", "Several routers answer at one hop.", "none"},
	{"`synack-blanked`", "At least 12 NOPs in a row in a SYN-ACK to v1: as many as MP_CAPABLE is long there, and more than ours is.", "`middlebox-affected` if the verdict was `no-mptcp`"},
}

const finalText = `
## Reasons of final verdicts

` + "`final_verdict`" + ` joins the scan's verdict with the newest trace and verification of the target that are of the scan's date,
family, port and probe. The first of these rules that holds decides; where none does, it is NULL. Only scans of ` + "`v0` and `v1`" + `
have final verdicts.

1. A connection was still MPTCP after data: ` + "`true`" + `, unless the path shows that a box answers in the host's place.
2. The verdict was ` + "`potential`" + `, and every connection of which it is known fell back to TCP: ` + "`middlebox-affected`" + `.
3. The path shows MP_CAPABLE removed, changed, dropped or answered on the way: ` + "`middlebox-affected`" + `, whatever the verdict.
4. The verdict was ` + "`potential`" + `, and neither trace nor connection got an answer of the host: ` + "`unreachable`" + `.
5. The verdict was ` + "`potential`" + `, and the trace was answered with MP_CAPABLE again: ` + "`true`" + `.
6. The verdict was ` + "`no-mptcp`" + `, and the SYN-ACK has NOPs where MP_CAPABLE would be: ` + "`middlebox-affected`" + `.

Rule 6 needs no trace. A RST, or a SYN-ACK without MP_CAPABLE, in answer to the trace of a host that was potential proves
neither MPTCP nor a box.

What strippings cannot be told:

- A box that strips SYN and SYN-ACK alike looks like one that strips SYNs, ` + "`stripped-syn`" + `: the host, which sees no MP_CAPABLE,
  puts none into its SYN-ACK.
- One that takes MP_CAPABLE out of SYN-ACKs and leaves no NOPs there looks like a host without MPTCP. Neither the path,
  which quotes only show on the way there, nor a connection that falls back tells the two apart.

`

const reasonsText = `
## Reasons

Each of ` + "`reasons`" + ` is a tag, or a tag, a colon and the numbers behind it. [statistics.md](statistics.md) has the tests on keys: at
what level, with what chance that a genuine host fails. The first reason that leads to a verdict decides; an
echo has no other tests on its key.

`

// severalReplies is what the documentation of package classify says of them.
const severalReplies = `
A target of several replies in a scan has one row:

- A SYN-ACK decides before an RST, an RST before an ICMP message; among equals the earliest, and without times the
  first row.
- What says the same again, a retransmitted SYN-ACK or a packet doubled on the way, counts in ` + "`hosts.replies`" + ` and
  changes nothing.
- Where replies differ, ` + "`conflicting-replies`" + ` stands beside the verdict of the one that decides.
- One connection has one key (RFC 8684 §3.1): where SYN-ACKs with one sequence number and port differ in it,
  ` + "`key-changed`" + `. Rows without these numbers are not compared.

Keys that passed so far are judged by what they have in common within the scan, an AS and a prefix (/24, /48),
then the rest of them by weight. What a finding says of a group alone, not of some of its keys, stands with all of the
group's hosts that no finding speaks against; what one says of the whole scan alone, ` + "`mpcensus classify`" + ` prints it.
`

// printReasons prints what the tags in reasons mean.
func printReasons() {
	fmt.Print(reasonsText)
	printTable([]string{"reason in `hosts`", "meaning", "verdict"}, hostReasons)
	fmt.Print(severalReplies, "\nAfter the reasons of `hosts`, `treatments` has:\n\n")
	printTable([]string{"reason in `treatments`", "meaning", "treatment"}, treatmentReasons)
	fmt.Print(finalText)
	printTable([]string{"reason in `final_reasons`", "meaning", "final verdict"}, finalReasons)
}
