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
}
