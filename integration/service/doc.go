// Package service tests the backup service as a whole: the built programs, real loop devices, mounts and volumes, real processes that are killed.
//
// A rig is a service with two disks of its own. Its clean-up takes everything away, whatever the test has done, and fails the test if a service, mount or
// loop device had to be taken away by force.
package service
