# opensmtpd.sh: OpenSMTPD with /m/recipe as its listener.
mkdir -p /run /m/mail
add() { # NAME ID
    echo "$1:x:$2:$2::/nonexistent:/bin/sh" >>/etc/passwd
    echo "$1:x:$2:" >>/etc/group
}
add box 1998
sed 's/$/ box/' /m/people >/boxes
chown box:box /m/mail
cat >/s.conf <<C
table boxes file:/boxes
$(cat /m/recipe)
action "box" maildir "/m/mail/%{rcpt.user}" virtual <boxes>
match from any for domain "example.test" action "box"
C
chgrp opensmtpq /usr/sbin/smtpctl && chmod 2555 /usr/sbin/smtpctl # as its package would
exec /usr/sbin/smtpd -d -f /s.conf
