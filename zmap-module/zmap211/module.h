#ifndef MPCENSUS_ZMAP211_MODULE_H
#define MPCENSUS_ZMAP211_MODULE_H

#include "abi.h"

#define MODULE_NAME "mptcp_synscan"

extern struct probe_module mptcp_synscan;

#endif
