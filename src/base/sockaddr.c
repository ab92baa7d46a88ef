/* Converts socket addresses to struct addr and back: the only place that knows the kernel's
 * form. */
#include "base/sockaddr.h"

#include <netinet/in.h>
#include <string.h>

struct addr addr_from_sockaddr(const struct sockaddr *sa, socklen_t len)
{
    struct addr a = {0};
    sa_family_t family = AF_UNSPEC;

    if (len >= sizeof family)
        memcpy(&family, &sa->sa_family, sizeof family);
    if (family == AF_INET && len >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof in);
        a.family = ADDR_IP4;
        a.port = ntohs(in.sin_port);
        memcpy(a.octets, &in.sin_addr, 4);
    } else if (family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof in6);
        a = addr_from_ip6(in6.sin6_addr.s6_addr);
        a.port = ntohs(in6.sin6_port);
    } else if (family == AF_UNIX) {
        a.family = ADDR_UNIX;
    }
    return a;
}

socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (a->family == ADDR_IP4) {
        struct sockaddr_in *in = (struct sockaddr_in *)out;
        in->sin_family = AF_INET;
        in->sin_port = htons(a->port);
        memcpy(&in->sin_addr, a->octets, 4);
        return sizeof *in;
    }
    if (a->family == ADDR_IP6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(a->port);
        memcpy(&in6->sin6_addr, a->octets, 16);
        return sizeof *in6;
    }
    return 0;
}

struct addr addr_of_socket(int fd)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof sa;

    if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
        return (struct addr){0};
    return addr_from_sockaddr((struct sockaddr *)&sa, len);
}
