/* Probes for production (USDT): places where a tracer such as bpftrace can look into a running mired,
 * at no cost while nobody looks (one `nop` each). Without <sys/sdt.h> (Debian: systemtap-sdt-dev)
 * they compile to nothing.
 *
 *     PROBE(name, ...)    provider "mired"; up to six arguments, integers or pointers
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
#define SDT_USE_VARIADIC 1
#include <sys/sdt.h>
#define PROBE(name, ...) STAP_PROBEV(mired, name, ##__VA_ARGS__)
#else
#define PROBE(name, ...) ((void)0)
#endif

#endif
