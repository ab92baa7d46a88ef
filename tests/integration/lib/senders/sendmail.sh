# sendmail.sh PORT RECIPIENT...: sendmail sends a message from writer@sender.test; what it says of it, and the bounce, are
# in /m/box. With AGAIN it runs its queue each so many seconds until nothing is left in it.
# The load of the machine, beyond which sendmail only queues, is not what is tested.
port=$1
shift
mkdir -p -m 0700 /q
cat >/s.mc <<C
OSTYPE(\`linux')dnl
define(\`confDOMAIN_NAME', \`sender.test')dnl
define(\`QUEUE_DIR', \`/q')dnl
define(\`confPID_FILE', \`/q/pid')dnl
define(\`ALIAS_FILE', \`/q/aliases')dnl
define(\`STATUS_FILE', \`/q/status')dnl
define(\`SMART_HOST', \`relay:[127.0.0.1]')dnl
define(\`RELAY_MAILER_ARGS', \`TCP \$h $port')dnl
define(\`confDONT_PROBE_INTERFACES', \`True')dnl
define(\`confQUEUE_LA', \`1000')dnl
define(\`confREFUSE_LA', \`1000')dnl
FEATURE(\`nocanonify')dnl
MAILER(\`local')dnl
MAILER(\`smtp')dnl
LOCAL_CONFIG
Cwsender.test localhost
C
: >/q/aliases
m4 -D_CF_DIR_=/usr/share/sendmail/cf/ /usr/share/sendmail/cf/m4/cf.m4 /s.mc >/s.cf 2>/m/m4
/usr/libexec/sendmail/sendmail -C /s.cf -bi >/m/newaliases 2>&1
printf 'From: writer@sender.test\nSubject: x\n\nhello\n' |
    /usr/libexec/sendmail/sendmail -C /s.cf -odi -v -f writer@sender.test "$@" >/m/talk 2>&1
while [ -n "$AGAIN" ] && ls /q/qf* >/dev/null 2>&1; do
    sleep "$AGAIN"
    /usr/libexec/sendmail/sendmail -C /s.cf -q -v >>/m/talk 2>&1
done
cat /m/talk /home/writer/dead.letter /var/mail/writer >/m/box.part 2>/dev/null
mv /m/box.part /m/box
