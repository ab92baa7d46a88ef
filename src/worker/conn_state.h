/* The phases and flags of a connection. */
#ifndef MIRED_WORKER_CONN_STATE_H
#define MIRED_WORKER_CONN_STATE_H

enum conn_phase {
    CONN_READING, /* waits for the client's octets */
    CONN_HELD,    /* a ready reply is kept back */
    CONN_ASKING,  /* a clerk has been asked */
    CONN_HANDING, /* a backend has the message */
    CONN_CLOSING, /* ends as soon as its output is out */
    CONN_SHAKING, /* TLS is being agreed on */
    CONN_PROXY,   /* a balancer is to say who the client is */
};

enum conn_flag {
    CONN_EXEMPT = 1,       /* by configuration, or by what the DNS says (lists.c) */
    CONN_READ_OFF = 2,     /* input has come that is not wanted yet; EPOLLIN is off */
    CONN_SEEN_END = 4,     /* the client has ended its side */
    CONN_GREETING = 8,     /* the greeting has not gone out yet */
    CONN_HOLD_SET = 16,    /* the next reply is decided: it waits work->hold.ms, without work 0 */
    CONN_LOOKED_UP = 32,   /* a look-up may still know it: see lists_forget() */
    CONN_RUNNING = 64,     /* conn_run() is on the stack */
    CONN_FREEZE = 128,     /* this hold may be frozen */
    CONN_TLS = 256,        /* octets go through worker->tls */
    CONN_TLS_LATER = 512,  /* CONN_SHAKING, and not to begin before its timer */
    CONN_TLS_WRITE = 1024, /* TLS waits for room to write before it reads on */
    CONN_PROXIED = 2048,   /* its socket is a balancer's */
};

#endif
