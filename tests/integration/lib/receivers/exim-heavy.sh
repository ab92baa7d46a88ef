# exim-heavy.sh: Exim with /m/recipe in the main section of its configuration.
mkdir -p /etc/exim4 /var/spool/x /m/mail
sed 's/\(.*\)@.*/\1: \1/' /m/people >/etc/exim4/people
cat >/etc/exim4/exim4.conf <<C
$(cat /m/recipe)
primary_hostname = backend.test
spool_directory = /var/spool/x
log_file_path = /m/exim-%slog
pid_file_path = /var/spool/x/pid
keep_environment =
rfc1413_query_timeout = 0s
domainlist local_domains = example.test
hostlist relay_from_hosts = 127.0.0.1
acl_smtp_rcpt = rcpt
acl_smtp_data = accept
begin acl
rcpt:
  accept hosts = +relay_from_hosts
         !domains = +local_domains
  require message = relay not permitted
          domains = +local_domains
  require message = unknown user
          verify = recipient
  accept
begin routers
boxes:
  driver = accept
  domains = +local_domains
  local_parts = lsearch;/etc/exim4/people
  transport = box
begin transports
box:
  driver = appendfile
  directory = /m/mail/\$local_part_data
  maildir_format
  create_directory
  user = Debian-exim
C
chown -R Debian-exim:Debian-exim /var/spool/x /m/mail
ln -s exim-mainlog /m/log
chown Debian-exim:Debian-exim /m
exec /usr/sbin/exim4 -bdf
