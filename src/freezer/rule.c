/* The nftables table, through libnftables; see rule.h. Runs in the freezer. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "freezer/rule.h"

static int run(const char *commands, char why[256])
{
    struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
    if (!nft)
        return -ENOMEM;
    nft_ctx_buffer_error(nft);
    nft_ctx_buffer_output(nft);
    int failed = nft_run_cmd_from_buffer(nft, commands);
    if (failed && why) {
        const char *said = nft_ctx_get_error_buffer(nft);
        snprintf(why, 256, "%.*s", (int)strcspn(said, "\n"), said);
    }
    nft_ctx_free(nft);
    return failed ? -EPERM : 0;
}

/* A set of those listeners for which `is_in` is true, and its rule; without such listeners there is
 * neither. */
struct set {
    const char *name, *type, *match;
    bool (*is_in)(const struct addr *a);
    bool with_address;
};

static bool is_any_for_ip6(const struct addr *a)
{
    return a->family == ADDR_IP6 && addr_is_any(a);
}

static bool is_one_ip4(const struct addr *a)
{
    return a->family == ADDR_IP4 && !addr_is_any(a);
}

static bool is_one_ip6(const struct addr *a)
{
    return a->family == ADDR_IP6 && !addr_is_any(a);
}

static const struct set sets[] = {
    {"any4", "inet_service", "meta nfproto ipv4 tcp sport", addr_is_any, false},
    {"any6", "inet_service", "meta nfproto ipv6 tcp sport", is_any_for_ip6, false},
    {"own4", "ipv4_addr . inet_service", "ip saddr . tcp sport", is_one_ip4, true},
    {"own6", "ipv6_addr . inet_service", "ip6 saddr . tcp sport", is_one_ip6, true},
};

enum { SETS = sizeof sets / sizeof sets[0] };

static bool is_same(const struct addr *a, const struct addr *b, bool with_address)
{
    return a->port == b->port && (!with_address || addr_equal(a, b));
}

static int add_element(struct buf *b, const struct set *s, const struct addr *a)
{
    char text[ADDR_TEXT];

    return s->with_address ? buf_addf(b, " %s . %u", addr_format(a, text), a->port)
                           : buf_addf(b, " %u", a->port);
}

/* Appends the set's elements, each once, and returns how many, or -ENOMEM. */
static int add_elements(struct buf *b, const struct set *s, const struct addr *listen, size_t count)
{
    int n = 0, r = 0;

    for (size_t i = 0; i < count && r == 0; i++) {
        bool there = !s->is_in(&listen[i]);
        for (size_t k = 0; k < i && !there; k++)
            there = s->is_in(&listen[k]) && is_same(&listen[i], &listen[k], s->with_address);
        if (there)
            continue;
        r = n++ ? buf_addf(b, ",") : 0;
        if (r == 0)
            r = add_element(b, s, &listen[i]);
    }
    return r < 0 ? r : n;
}

/* nft has no escapes in strings. */
static bool is_harmless(const char *comment)
{
    enum { COMMENT_MAX = 120 };
    size_t len = strlen(comment);

    for (size_t i = 0; i < len; i++)
        if (comment[i] < ' ' || comment[i] > '~' || comment[i] == '"' || comment[i] == '\\')
            return false;
    return len > 0 && len <= COMMENT_MAX;
}

static int write_rules(struct buf *b, const char *name, const char *state, const char *resets,
                       const struct addr *listen, size_t count)
{
    int n[SETS] = {0};
    int r = buf_addf(b,
                     "table inet %s\n"
                     "delete table inet %s\n"
                     "table inet %s {\n",
                     name, name, name);

    if (r == 0 && is_harmless(state))
        r = buf_addf(b, "  comment \"%s\"\n", state);
    for (size_t i = 0; i < SETS && r == 0; i++) {
        struct buf elements = {0};
        n[i] = add_elements(&elements, &sets[i], listen, count);
        r = n[i] < 0 ? n[i] : 0;
        if (n[i] > 0)
            r = buf_addf(b, "  set %s { type %s; elements = {%.*s } }\n", sets[i].name,
                         sets[i].type, (int)elements.len, elements.at);
        buf_free(&elements);
    }
    if (r == 0)
        r = buf_addf(b, "  chain resets {\n%s  }\n", resets);
    if (r == 0)
        r = buf_addf(b, "  chain output {\n"
                        "    type filter hook output priority filter; policy accept;\n");
    for (size_t i = 0; i < SETS && r == 0; i++)
        if (n[i] > 0)
            r = buf_addf(b, "    %s @%s tcp flags & (rst | ack) == rst goto resets\n",
                         sets[i].match, sets[i].name);
    return r < 0 ? r : buf_addf(b, "  }\n}\n%c", '\0');
}

int rule_name(const char *state, char name[RULE_NAME])
{
    struct stat st;

    if (stat(state, &st) < 0)
        return -errno;
    snprintf(name, RULE_NAME, "mired_%lx_%lx", (unsigned long)st.st_dev, (unsigned long)st.st_ino);
    return 0;
}

static int set_with(const char *resets, const char *name, const char *state,
                    const struct addr *listen, size_t count, char why[256])
{
    struct buf b = {0};
    int r = write_rules(&b, name, state, resets, listen, count);

    if (r == 0)
        r = run(b.at, why);
    buf_free(&b);
    return r;
}

int rule_set(const char *name, const char *state, unsigned owner, const struct addr *listen,
             size_t count, char why[256])
{
    char resets[512];

    snprintf(resets, sizeof resets,
             "    socket wildcard 0 meta skuid { 0, %u } drop\n" /* a listener at one address */
             "    socket wildcard 0 accept\n"                    /* a connection that is closing */
             "    socket wildcard 1 drop\n"      /* another listener, or the kernel's socket */
             "    socket transparent 0 accept\n" /* a connection in TIME_WAIT */
             "    drop\n",                       /* no socket */
             owner);
    int r = set_with(resets, name, state, listen, count, why);
    /* the kernel may be built without `socket` */
    return r == -EPERM ? set_with("    drop\n", name, state, listen, count, why) : r;
}

/* The first attribute of that type in an answer of nfnetlink; NULL if there is none, or if it has less
 * than `size` octets. */
static const void *find_attribute(const struct nlmsghdr *answer, uint16_t type, size_t size)
{
    const char *at = (const char *)NLMSG_DATA(answer) + NLMSG_ALIGN(sizeof(struct nfgenmsg));
    const char *end = (const char *)answer + answer->nlmsg_len;

    while (end - at >= NLA_HDRLEN) {
        const struct nlattr *a = (const struct nlattr *)at;
        if (a->nla_len < NLA_HDRLEN || a->nla_len > end - at)
            return NULL;
        if ((a->nla_type & NLA_TYPE_MASK) == type)
            return a->nla_len >= NLA_HDRLEN + size ? at + NLA_HDRLEN : NULL;
        at += NLA_ALIGN(a->nla_len);
    }
    return NULL;
}

static uint32_t ask_number(int fd)
{
    struct {
        struct nlmsghdr head;
        struct nfgenmsg body;
    } query = {.head = {.nlmsg_len = sizeof query,
                        .nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN,
                        .nlmsg_flags = NLM_F_REQUEST},
               .body = {.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0}};
    union {
        struct nlmsghdr head;
        char octets[1024];
    } answer;
    uint32_t number;

    if (send(fd, &query, sizeof query, 0) < 0)
        return 0;
    /* the kernel answers within send() */
    ssize_t n = recv(fd, &answer, sizeof answer, MSG_DONTWAIT);
    if (n < (ssize_t)NLMSG_SPACE(sizeof(struct nfgenmsg)) || answer.head.nlmsg_len > (size_t)n ||
        answer.head.nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN))
        return 0;
    const void *id = find_attribute(&answer.head, NFTA_GEN_ID, sizeof number);
    if (!id)
        return 0;
    memcpy(&number, id, sizeof number);
    return ntohl(number);
}

uint32_t rule_number(void)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);

    if (fd < 0)
        return 0;
    uint32_t number = ask_number(fd);
    close(fd);
    return number;
}

void rule_unset(const char *name)
{
    char commands[2 * RULE_NAME + 64];

    snprintf(commands, sizeof commands, "table inet %s\ndelete table inet %s\n", name, name);
    run(commands, NULL);
}

/* ---- the table of earlier versions ---- */

static const char earlier[] = "mired";

static bool earlier_has(const struct set *s, const struct addr *a)
{
    struct buf b = {0};
    int r = buf_addf(&b, "get element inet %s %s {", earlier, s->name);

    if (r == 0)
        r = add_element(&b, s, a);
    if (r == 0)
        r = buf_addf(&b, " }\n%c", '\0');
    bool has = r == 0 && run(b.at, NULL) == 0;
    buf_free(&b);
    return has;
}

void rule_unset_earlier(const struct addr *listen, size_t count)
{
    for (size_t i = 0; i < SETS; i++)
        for (size_t k = 0; k < count; k++)
            if (sets[i].is_in(&listen[k]) && earlier_has(&sets[i], &listen[k])) {
                rule_unset(earlier);
                return;
            }
}
