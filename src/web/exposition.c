/* /metrics: the counters in Prometheus' text format. In the web process. */
#include <stdio.h>
#include <string.h>

#include "backend/counts.h"
#include "base/metrics.h"
#include "config/config.h"
#include "tarpit/ledger.h"
#include "web/web_part.h"

static void head(struct buf *out, const char *family, const char *type, const char *help)
{
    buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", family, help, family, type);
}

static void counters(const struct web *w, struct buf *out)
{
    const char *family = "";

    for (int id = 0; id < METRIC_COUNT; id++) {
        const struct metric_about *about = &metric_table[id];
        uint64_t value = metrics_sum(w->steering.params->metrics, (enum metric)id);
        if (strcmp(about->family, family) != 0)
            head(out, about->family, about->kind == METRIC_GAUGE ? "gauge" : "counter",
                 about->help);
        family = about->family;
        bool label = about->label[0] != '\0';
        buf_addf(out, "%s%s%s%s ", family, label ? "{" : "", about->label, label ? "}" : "");
        if (about->kind == METRIC_COUNTER_MS)
            buf_addf(out, "%.3f\n", (double)value / 1000);
        else
            buf_addf(out, "%lld\n", (long long)value);
    }
}

static void histogram(struct buf *out, const struct metric_time_about *about,
                      const uint64_t bucket[METRIC_BUCKETS + 1], uint64_t us)
{
    const char *comma = about->label[0] ? "," : "";
    char label[128] = "";
    uint64_t count = 0;

    if (about->label[0])
        snprintf(label, sizeof label, "{%s}", about->label);
    for (int i = 0; i < METRIC_BUCKETS; i++) {
        count += bucket[i];
        buf_addf(out, "%s_bucket{%s%sle=\"%g\"} %lu\n", about->family, about->label, comma,
                 metric_bucket_ms[i] / 1e3, (unsigned long)count);
    }
    count += bucket[METRIC_BUCKETS];
    buf_addf(out, "%s_bucket{%s%sle=\"+Inf\"} %lu\n", about->family, about->label, comma,
             (unsigned long)count);
    buf_addf(out, "%s_sum%s %.6f\n%s_count%s %lu\n", about->family, label, (double)us / 1e6,
             about->family, label, (unsigned long)count);
}

static void histograms(const struct web *w, struct buf *out)
{
    uint64_t bucket[METRIC_BUCKETS + 1], us;
    const char *family = "";

    for (int id = 0; id < METRIC_TIME_COUNT; id++) {
        const struct metric_time_about *about = &metric_time_table[id];
        if (strcmp(about->family, family) != 0)
            head(out, about->family, "histogram", about->help);
        family = about->family;
        metrics_sum_time(w->steering.params->metrics, (enum metric_time)id, bucket, &us);
        histogram(out, about, bucket, us);
    }
}

/* A label's value: backslash, quote and line end are escaped. */
static void label_value(struct buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\\' || *text == '"')
            buf_add(out, "\\", 1);
        buf_add(out, *text == '\n' ? " " : text, 1);
    }
}

static void backends(const struct web *w, struct buf *out)
{
    if (w->steering.backends == 0)
        return;
    head(out, "mired_backend_up", "gauge", "Whether the backend can be reached.");
    for (unsigned i = 0; i < w->steering.backends; i++) {
        buf_addf(out, "mired_backend_up{backend=\"");
        label_value(out, w->steering.backend[i].name);
        buf_addf(out, "\"} %d\n", w->steering.backend[i].up);
    }
}

static void routes(const struct web *w, struct buf *out)
{
    const struct counts *counts = w->steering.params->counts;

    head(out, "mired_route_messages_total", "counter", "Messages that each backend has taken.");
    for (uint32_t i = 0; counts && i < COUNTS_PLACES && counts->at[i].name[0]; i++) {
        buf_addf(out, "mired_route_messages_total{backend=\"");
        label_value(out, counts->at[i].name);
        buf_addf(out, "\"} %lu\n", (unsigned long)atomic_load(&counts->at[i].messages));
    }
}

static void directories(const struct web *w, struct buf *out)
{
    const struct config *config = w->steering.params->config;
    unsigned told = 0;

    if (config->recipients_count == 0)
        return;
    head(out, "mired_directory_up", "gauge", "Whether the directory can be asked.");
    for (size_t i = 0; i < config->recipients_count; i++) {
        enum recipients_kind kind = config->recipients[i].kind;
        if (!(told & 1u << kind))
            buf_addf(out, "mired_directory_up{source=\"%s\"} %d\n", config_recipients_name(kind),
                     status_directory_is_up(&w->steering, kind));
        told |= 1u << kind;
    }
}

void exposition(const struct web *w, struct buf *out)
{
    struct ledger_stats ledger = ledger_stats(w->steering.params->ledger);

    counters(w, out);
    histograms(w, out);
    backends(w, out);
    routes(w, out);
    directories(w, out);
    head(out, "mired_ledger_entries", "gauge",
         "Clients, networks and accounts that are remembered.");
    buf_addf(out, "mired_ledger_entries %lu\n", (unsigned long)ledger.entries);
    head(out, "mired_ledger_evictions_total", "counter", "Entries that made room for others.");
    buf_addf(out, "mired_ledger_evictions_total %lu\n", (unsigned long)ledger.evictions);
    head(out, "mired_proposals_waiting", "gauge",
         "Changes of the ledger that the keeper has yet to make.");
    buf_addf(out, "mired_proposals_waiting %lu\n", (unsigned long)status_waiting(&w->steering));
    head(out, "mired_build_info", "gauge", "Always 1.");
    buf_addf(out, "mired_build_info{version=\"%s\"} 1\n", MIRED_VERSION);
}
