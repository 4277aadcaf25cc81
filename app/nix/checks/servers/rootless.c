/* Preloaded into initdb: what it asks a host for, in a root directory that holds nothing but a store.
 *
 * It wants a name for the user that runs it, and the C library's popen and system want a shell in /bin.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pwd.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { PIPES_MAX = 64 };
static pid_t children[PIPES_MAX];

struct passwd *getpwuid(uid_t user) {
    static struct passwd who = {.pw_name = "holdfast", .pw_passwd = "x", .pw_gecos = "", .pw_dir = "/", .pw_shell = SHELL};
    who.pw_uid = user;
    who.pw_gid = getgid();
    return &who;
}

/* Starts a shell whose descriptor `theirs` is our `ours`; -1 for neither. */
static pid_t start(const char *command, int ours, int theirs) {
    char *words[] = {"sh", "-c", (char *)command, NULL};
    posix_spawn_file_actions_t actions;
    pid_t child = -1;
    posix_spawn_file_actions_init(&actions);
    if (ours != -1) posix_spawn_file_actions_adddup2(&actions, ours, theirs);
    if (posix_spawn(&child, SHELL, &actions, NULL, words, environ) != 0) child = -1;
    posix_spawn_file_actions_destroy(&actions);
    return child;
}

static int wait_for(pid_t child) {
    int status;
    return child == -1 || waitpid(child, &status, 0) == -1 ? -1 : status;
}

int system(const char *command) {
    fflush(NULL);
    return wait_for(start(command, -1, -1));
}

FILE *popen(const char *command, const char *mode) {
    int ends[2], is_reading = mode[0] == 'r';
    if (pipe2(ends, O_CLOEXEC) == -1) return NULL;
    int ours = ends[is_reading ? 0 : 1], theirs = ends[is_reading ? 1 : 0];
    pid_t child = ours < PIPES_MAX ? start(command, theirs, is_reading ? STDOUT_FILENO : STDIN_FILENO) : -1;
    close(theirs);
    if (child == -1) {
        close(ours);
        return NULL;
    }
    children[ours] = child;
    return fdopen(ours, is_reading ? "r" : "w");
}

int pclose(FILE *pipe) {
    pid_t child = children[fileno(pipe)];
    fclose(pipe);
    return wait_for(child);
}
