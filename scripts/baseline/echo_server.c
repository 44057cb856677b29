/* The floor under an echo server: one thread, one epoll, edge-triggered; the bytes go back as they came.
 *
 * It takes whatever port is free on 127.0.0.1 and says where it listens in its first line. It ends on SIGTERM, and with its parent.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS_MAX = 1024, BACKLOG = 4096, BUFFER_BYTES = 65536, STUCK_MS = 1000 };

static int epoll, listener, signals;
static char buffer[BUFFER_BYTES];

static void die(const char *what) {
    fprintf(stderr, "echo_server: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void watch(int fd, unsigned events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
}

static void accept_all(void) {
    for (;;) {
        int on = 1, connection = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (connection < 0 && errno == EAGAIN) return;
        if (connection < 0 && (errno == ECONNABORTED || errno == EINTR)) continue;
        if (connection < 0) die("accept4");
        if (setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 && errno != EINVAL) die("TCP_NODELAY");
        watch(connection, EPOLLIN | EPOLLRDHUP | EPOLLET);
    }
}

/* Whether all was sent. Who does not read what he asked for holds up everybody, but not for long. */
static bool send_all(int connection, ssize_t bytes) {
    for (ssize_t sent = 0, more; sent < bytes; sent += more) {
        more = send(connection, buffer + sent, (size_t)(bytes - sent), MSG_NOSIGNAL);
        if (more >= 0) continue;
        struct pollfd room = {.fd = connection, .events = POLLOUT};
        if (errno != EAGAIN || poll(&room, 1, STUCK_MS) <= 0) return false;
        more = 0;
    }
    return true;
}

static void serve(int connection, unsigned events) {
    for (;;) {
        ssize_t got = read(connection, buffer, sizeof buffer);
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0 || !send_all(connection, got)) {
            if (close(connection) < 0) die("close");
            return;
        }
        /* A short read has emptied the socket (epoll(7)), unless the end of the stream is still to be read. */
        if (got < (ssize_t)sizeof buffer && !(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return;
    }
}

static void prepare(void) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) die("prctl");
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0) die("getrlimit");
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) < 0) die("setrlimit");
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &ends, NULL) < 0) die("sigprocmask");
    if ((signals = signalfd(-1, &ends, SFD_NONBLOCK | SFD_CLOEXEC)) < 0) die("signalfd");
    if ((epoll = epoll_create1(EPOLL_CLOEXEC)) < 0) die("epoll_create1");
}

int main(void) {
    prepare();
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) < 0 || listen(listener, BACKLOG) < 0) die("listen");
    if (getsockname(listener, (struct sockaddr *)&address, &length) < 0) die("getsockname");
    watch(listener, EPOLLIN | EPOLLET);
    watch(signals, EPOLLIN);
    int said = printf("{\"address\": \"127.0.0.1:%d\", \"pid\": %d}\n", ntohs(address.sin_port), getpid());
    if (said < 0 || fflush(stdout) != 0) die("stdout");

    static struct epoll_event events[EVENTS_MAX];
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS_MAX, -1);
        if (count < 0) die("epoll_wait");
        for (int n = 0; n < count; n++) {
            if (events[n].data.fd == signals) return 0;
            if (events[n].data.fd == listener) {
                accept_all();
            } else {
                serve(events[n].data.fd, events[n].events);
            }
        }
    }
}
