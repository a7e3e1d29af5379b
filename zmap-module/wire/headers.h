/* Sizes and numbers of the headers around TCP options: IP, ICMP and TCP. */
#ifndef MPCENSUS_HEADERS_H
#define MPCENSUS_HEADERS_H

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd

/* The protocol of an IPv4 header, the next header of an IPv6 header. */
#define IP_PROTOCOL_ICMP 1
#define IP_PROTOCOL_TCP 6
#define IP_PROTOCOL_ICMPV6 58

#define IPV4_HEADER_BYTES 20 /* RFC 791 section 3.1, without options */
#define IPV4_DONT_FRAGMENT 0x4000
#define IPV4_FRAGMENT_MASK 0x3fff /* more fragments, and the offset */

#define IPV6_HEADER_BYTES 40 /* RFC 8200 section 3 */

#define TCP_HEADER_BYTES 20 /* RFC 9293 section 3.1, without options */
#define TCP_FLAG_SYN 0x02
#define TCP_FLAG_RST 0x04
#define TCP_FLAG_ACK 0x10

#define ICMP_DESTINATION_UNREACHABLE 3 /* RFC 792 */
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER_PROBLEM 12

#define ICMPV6_DESTINATION_UNREACHABLE 1 /* RFC 4443 section 3 */
#define ICMPV6_PACKET_TOO_BIG 2
#define ICMPV6_TIME_EXCEEDED 3
#define ICMPV6_PARAMETER_PROBLEM 4

#endif
