// Package trace finds out where on the path to a host MP_CAPABLE is changed, removed, dropped or answered, after
// Tracebox (Detal et al., "Revealing Middlebox Interference with Tracebox", IMC 2013): routers in which the TTL of a
// SYN runs out quote it as it arrived there.
//
// Rows of the probe module mptcp_trace become three tables, in a folder beside the dataset's:
//
//	rows → records   blocks are decoded in parallel; records are sorted in runs and merged (read.go, sort.go)
//	records → hops   quotes are compared with what was sent, row groups encoded, in parallel (compare.go, build.go)
//	hops → evidence  what all answers say of a target, bounded (evidence.go)
//	evidence → paths a target's probes beside their control (path.go, paths.go)
//
// Memory does not grow with the number of rows, but for some 300 KB for each 100,000 of them while runs are merged.
//
// A campaign, the probes and their control, is in the dataset as a whole or not at all: campaign.go.
package trace
