# sendmail.sh: sendmail with /m/recipe in its sendmail.mc and /m/more at the end, and what syslog would get in /m/log.
mount -t tmpfs tmpfs /dev # this machine's /dev/log is not ours
mknod -m 666 /dev/null c 1 3
mknod -m 666 /dev/urandom c 1 9
/usr/bin/python3 -u -c '
import socket
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
    s.bind("/dev/log")
    while True:
        print(s.recv(65536).decode(errors="backslashreplace"))' >/m/log 2>&1 &
until [ -S /dev/log ]; do sleep 0.05; done
mkdir -p -m 0700 /q
mkdir -p -m 0755 /etc/mail /m/mail
id=1990
: >/q/aliases
sed 's/@.*//' /m/people | while read -r name; do
    echo "$name:x:$((id += 1)):100::/m/mail:/bin/sh" >>/etc/passwd
done
cat >/s.mc <<C
OSTYPE(\`linux')dnl
define(\`confDOMAIN_NAME', \`backend.test')dnl
define(\`QUEUE_DIR', \`/q')dnl
define(\`confPID_FILE', \`/q/pid')dnl
define(\`ALIAS_FILE', \`/q/aliases')dnl
define(\`STATUS_FILE', \`/q/status')dnl
define(\`confDONT_PROBE_INTERFACES', \`True')dnl
define(\`confREFUSE_LA', \`1000')dnl
define(\`confQUEUE_LA', \`1000')dnl
define(\`confDELAY_LA', \`1000')dnl
define(\`LOCAL_MAILER_PATH', \`/box')dnl
define(\`LOCAL_MAILER_ARGS', \`box \$u')dnl
FEATURE(\`nocanonify')dnl
FEATURE(\`no_default_msa')dnl
FEATURE(\`accept_unresolvable_domains')dnl
$(cat /m/recipe)
MAILER(\`local')dnl
MAILER(\`smtp')dnl
$(cat /m/more)
LOCAL_CONFIG
Cwexample.test
C
cat >/box <<'C'
#!/bin/bash
to=/m/mail/${!#} # the last word; the sender comes before it
mkdir -p "$to/new"
cat >"$to/part.$$" && mv "$to/part.$$" "$to/new/$$"
C
chmod 755 /box && chmod 777 /m/mail
m4 -D_CF_DIR_=/usr/share/sendmail/cf/ /usr/share/sendmail/cf/m4/cf.m4 /s.mc >/s.cf
/usr/libexec/sendmail/sendmail -C /s.cf -bi
exec /usr/libexec/sendmail/sendmail -C /s.cf -bD
