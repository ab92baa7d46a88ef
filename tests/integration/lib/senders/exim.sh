# exim.sh PORT RECIPIENT...: Exim sends a message from writer@sender.test and delivers the bounce to /m/box. With
# AGAIN it runs its queue each so many seconds until nothing is left in it.
port=$1
shift
mkdir -p /etc/exim4 /var/spool/x
cat >/etc/exim4/exim4.conf <<C
primary_hostname = sender.test
spool_directory = /var/spool/x
log_file_path = /m/%slog
keep_environment =
trusted_users = root
domainlist local_domains = sender.test
begin routers
out:
  driver = manualroute
  domains = ! +local_domains
  transport = smtp
  route_list = * 127.0.0.1
  self = send
box:
  driver = accept
  transport = box
begin transports
smtp:
  driver = smtp
  port = $port
box:
  driver = appendfile
  file = /m/box
  user = Debian-exim
begin retry
* * F,2h,${AGAIN:-5}s
C
chown -R Debian-exim:Debian-exim /var/spool/x /m
printf 'From: writer@sender.test\nSubject: x\n\nhello\n' | /usr/sbin/exim4 -odf -f writer@sender.test "$@"
while [ -n "$AGAIN" ] && [ "$(/usr/sbin/exim4 -bpc)" != 0 ]; do
    sleep "$AGAIN"
    /usr/sbin/exim4 -q
done
