/* Runs a command and says what it used: wait4(2) of a parent that is small, since ru_maxrss counts what was there before execve(2).
 *
 * usage: measured FILE COMMAND [ARGUMENT ...]
 *
 * FILE gets two lines of JSON: its pid once it runs, and what it used once it has ended. The command is killed when this program ends
 * before it. The exit code is the command's, 128 and the signal if one ended it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what) {
    fprintf(stderr, "measured: %s: %s\n", what, strerror(errno));
    exit(125);
}

static double now(void) {
    struct timespec t;
    if (clock_gettime(CLOCK_MONOTONIC, &t) < 0) die("clock_gettime");
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double seconds(struct timeval t) { return (double)t.tv_sec + (double)t.tv_usec * 1e-6; }

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: measured FILE COMMAND [ARGUMENT ...]\n");
        return 125;
    }
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) die("prctl");
    FILE *file = fopen(argv[1], "we");
    if (!file) die(argv[1]);
    double begun = now();
    pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) die("prctl");
        execvp(argv[2], argv + 2);
        die(argv[2]);
    }
    if (fprintf(file, "{\"pid\": %d}\n", child) < 0 || fflush(file) != 0) die(argv[1]);
    int status;
    struct rusage used;
    while (wait4(child, &status, 0, &used) < 0) {
        if (errno != EINTR) die("wait4");
    }
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (fprintf(file, "{\"code\": %d, \"wall_s\": %.6f, \"cpu_user_s\": %.6f, \"cpu_sys_s\": %.6f, \"peak_rss_kib\": %ld}\n", code,
                now() - begun, seconds(used.ru_utime), seconds(used.ru_stime), used.ru_maxrss) < 0 ||
        fclose(file) != 0)
        die(argv[1]);
    return code;
}
