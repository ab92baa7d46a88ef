/* Probes for production (USDT): places where a tracer such as bpftrace can look into a running
 * mired, at the cost of one `nop` each while no tracer is attached. Without <sys/sdt.h> (Debian:
 * systemtap-sdt-dev) they compile to nothing.
 *
 *     PROBEn(name, ...)    provider "mired", n arguments: integers or pointers
 *
 * docs/debugging.md lists the probes with their arguments; a test compares it with the program. */
#ifndef MIRED_BASE_PROBE_H
#define MIRED_BASE_PROBE_H

#if defined(__has_include) && !defined(MIRED_NO_PROBES)
#if __has_include(<sys/sdt.h>)
#define MIRED_PROBES 1
#endif
#endif

#ifdef MIRED_PROBES
#include <sys/sdt.h>
#define PROBE2(name, a, b)          STAP_PROBE2(mired, name, a, b)
#define PROBE3(name, a, b, c)       STAP_PROBE3(mired, name, a, b, c)
#define PROBE4(name, a, b, c, d)    STAP_PROBE4(mired, name, a, b, c, d)
#define PROBE5(name, a, b, c, d, e) STAP_PROBE5(mired, name, a, b, c, d, e)
#else
#define PROBE2(name, a, b)          ((void)0)
#define PROBE3(name, a, b, c)       ((void)0)
#define PROBE4(name, a, b, c, d)    ((void)0)
#define PROBE5(name, a, b, c, d, e) ((void)0)
#endif

#endif
