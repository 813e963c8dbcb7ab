package signal

import "slices"

// Name of a signal file.
type Name string

// The predecessor's signals.
const (
	Wait        Name = "wait"        // pause before the next machine; switches are still served
	WaitA       Name = "waita"       // copies and verifications pause
	Stop        Name = "stop"        // end after the current machine and job; blocks the next start
	AStop       Name = "astop"       // end copies and verifications, begin no new ones
	CRCStopS    Name = "crcstopS"    // one-shot: abort the sums of sources that are being made
	Switch      Name = "switch"      // one-shot: change the disk
	SoftSwitch  Name = "softswitch"  // one-shot: change the disk when all copies are done
	Reload      Name = "reload"      // one-shot: read the configuration again
	SkipCRC     Name = "skipcrc"     // no verification; one whose text has NFS in it was set by a mount
	NoSkipCRC   Name = "noskipcrc"   // verify although the volume lies on NFS; also a file in the volume's folder of backups
	DoNotSwitch Name = "donotswitch" // a switch makes its report and leaves the disk
	DoNotCheck  Name = "donotcheck"  // no forced check when mounting
	NoAutoStart Name = "noautostart" // mount, and do not start the loop
)

// Names returns all of them.
func Names() []Name {
	return []Name{Wait, WaitA, Stop, AStop, CRCStopS, Switch, SoftSwitch, Reload, SkipCRC, NoSkipCRC, DoNotSwitch, DoNotCheck, NoAutoStart}
}

// OneShot tells whether a signal is asked once and ends by Consume. The others hold while the file is there.
func (n Name) OneShot() bool {
	return slices.Contains([]Name{CRCStopS, Switch, SoftSwitch, Reload}, n)
}

func (n Name) known() bool { return slices.Contains(Names(), n) }
