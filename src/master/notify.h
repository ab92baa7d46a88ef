/* Notifications to systemd (sd_notify(3)'s protocol, without its library). */
#ifndef MIRED_MASTER_NOTIFY_H
#define MIRED_MASTER_NOTIFY_H

#include <stdint.h>

/* Sends lines such as "READY=1\nSTATUS=serving" to $NOTIFY_SOCKET; does nothing without it. Never
 * blocks. */
void notify_tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* How often "WATCHDOG=1" must be sent, in ms (half of $WATCHDOG_USEC); 0 if it is not required. */
uint64_t notify_watchdog_ms(void);

#endif
