# opensmtpd.sh PORT RECIPIENT...: OpenSMTPD sends a message from writer@sender.test; its bounce is in /m/box. With
# AGAIN it tries again each so many seconds until nothing is left in its queue.
port=$1
shift
mkdir -p /run /var/mail
cat >/s.conf <<C
listen on socket
action "box" mbox
action "out" relay host "smtp://127.0.0.1:$port" helo sender.test
match from any for domain "sender.test" action "box"
match from any for any action "out"
C
chgrp opensmtpq /usr/sbin/smtpctl && chmod 2555 /usr/sbin/smtpctl # as its package would
/usr/sbin/smtpd -d -f /s.conf >/m/log 2>&1 &
until [ -S /var/run/smtpd.sock ] || [ -S /run/smtpd.sock ]; do sleep 0.1; done
printf 'From: writer@sender.test\nSubject: x\n\nhello\n' | (exec -a sendmail /usr/sbin/smtpctl -f writer@sender.test "$@")
while [ -n "$AGAIN" ] && [ ! -s /var/mail/writer ]; do
    sleep "$AGAIN"
    [ -n "$(/usr/sbin/smtpctl show queue)" ] || exit 0
    /usr/sbin/smtpctl schedule all
done
until [ -s /var/mail/writer ]; do sleep 0.1; done
cp /var/mail/writer /m/box.part && mv /m/box.part /m/box
