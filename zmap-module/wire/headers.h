/* Sizes and numbers of the headers around TCP options: IPv4, ICMP and TCP. */
#ifndef MPCENSUS_HEADERS_H
#define MPCENSUS_HEADERS_H

#define IPV4_HEADER_BYTES 20 /* RFC 791 section 3.1, without options */
#define IPV4_DONT_FRAGMENT 0x4000
#define IPV4_FRAGMENT_MASK 0x3fff /* more fragments, and the offset */
#define IPV4_PROTOCOL_ICMP 1
#define IPV4_PROTOCOL_TCP 6

#define TCP_HEADER_BYTES 20 /* RFC 9293 section 3.1, without options */
#define TCP_FLAG_SYN 0x02
#define TCP_FLAG_RST 0x04
#define TCP_FLAG_ACK 0x10

#define ICMP_DESTINATION_UNREACHABLE 3 /* RFC 792 */

#endif
