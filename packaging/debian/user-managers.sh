# user_managers ACTION [UNIT]...: `systemctl --user ACTION` in the manager of each user who has one. Not by
# `deb-systemd-invoke --user`: its try-restart goes to the system's manager, and its restart starts the unit for every
# user as soon as it runs for one. A manager that hangs is its user's, and does not hold up dpkg.
user_managers() {
    if command -v policy-rc.d >/dev/null; then
        answer=0
        policy-rc.d loopgate "$1" || answer=$?
        [ "$answer" -ne 101 ] || return 0
    fi
    for manager in /run/user/*/systemd/private; do
        [ -S "$manager" ] || continue
        folder=${manager%/systemd/private}
        running=0
        user_manager 5 is-active loopgate.service || running=$?
        [ "$running" -ne 124 ] || continue
        if [ "$1" = try-restart ] && [ "$running" -eq 0 ] && ! user_manager 30 reload loopgate.service; then
            echo "loopgate: the new version cannot use the configuration of user ${folder##*/}; the old one goes on there."
            echo "  That user finds out with 'loopgated --check', and ends it with 'systemctl --user restart loopgate.service'."
            continue
        fi
        user_manager 30 "$@" || true
    done
}

# user_manager SECONDS ACTION [UNIT]...: in the manager behind $folder, for no longer than that. Its user may take hold of
# the process that asks: root keeps the clock, and the terminal, by a session without it.
user_manager() {
    seconds=$1
    shift
    timeout --kill-after=5 "$seconds" setsid \
        setpriv --reuid="${folder##*/}" --regid="$(stat --format=%g "$folder")" --clear-groups \
        env --ignore-environment PATH="$PATH" XDG_RUNTIME_DIR="$folder" \
        systemctl --user --quiet "$@" </dev/null >/dev/null 2>&1
}
