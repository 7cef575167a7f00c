-- The first start of the server: the roles of docs/deployment.md, with their passwords from files, and
-- the database. Later starts do not run this.
\set owner_password `cat /run/secrets/database_owner_password`
\set password `cat /run/secrets/database_password`
\set exporter_password `cat /run/secrets/database_exporter_password`
CREATE ROLE trading_ops_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE trading_ops LOGIN PASSWORD :'password' CONNECTION LIMIT 40;
CREATE ROLE trading_ops_exporter LOGIN PASSWORD :'exporter_password' CONNECTION LIMIT 4;
GRANT pg_read_all_stats TO trading_ops_exporter;
CREATE DATABASE trading_ops OWNER trading_ops_owner ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE trading_ops FROM PUBLIC;
GRANT CONNECT ON DATABASE trading_ops TO trading_ops, trading_ops_exporter;
\connect trading_ops
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT CREATE ON SCHEMA public TO trading_ops_owner;
