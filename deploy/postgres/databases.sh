# PostgreSQL's administrator -> a database and a role for each service, that no other service may enter.
#
# Changes nothing that is there already but the passwords: to renew one, change it in .env and start again.
set -eu

for service in gateway anomaly reid synthetic; do
  # By the environment: arguments can be read by every user of the host.
  SERVICE_PASSWORD=$(printenv "$(printf %s "$service" | tr a-z A-Z)_DATABASE_PASSWORD")
  export SERVICE_PASSWORD
  psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set service="$service" <<'SQL'
\getenv password SERVICE_PASSWORD
SELECT format('CREATE ROLE %I LOGIN', :'service')
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'service') \gexec
ALTER ROLE :"service" PASSWORD :'password';
SELECT format('CREATE DATABASE %I OWNER %I', :'service', :'service')
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'service') \gexec
REVOKE ALL ON DATABASE :"service" FROM PUBLIC;
SQL
  echo "the database $service is ready"
done
