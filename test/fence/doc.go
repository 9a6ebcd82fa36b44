// Package fence tests coordd.dev/client/fence on real databases, SQLite and PostgreSQL,
// and with a client that was really stopped. It stands apart from what it tests so that
// nobody gets the drivers with the client.
package fence
