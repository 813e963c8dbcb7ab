// Package control carries questions to the service and answers back, over a unix socket at a place of the configuration.
//
// It owns the socket, the form of the messages and the life of connections. What can be asked is a table of named operations that the service hands in. It
// is not fs/socket, because who may ask is said by the socket's permissions (0660, its group) and not by the user alone, and because the place is fixed.
//
// One connection is one request. Each message is a line of JSON:
//
//	→ {"op":"run","args":{...}}
//	← {"progress":{...}}          any number of them
//	← {"alive":true}              so often that silence means a dead service
//	← {"result":{...}}  or  {"error":{"text":"...","hint":"...","code":3}}
//
// Promises:
//
//   - A client that goes away ends its operation through the context. Operations that only note a wish are done by then.
//   - Every read and write has a deadline, lines and the number of connections are bounded, and what a client sends can do no more than occupy its own
//     connection.
//   - Close ends all operations and returns when none is running any more. The socket of a killed service is replaced, one that answers is not.
package control
