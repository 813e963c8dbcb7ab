package config

import "time"

// Default is a file with nothing in it.
func Default() *Config {
	return &Config{
		Paths: Paths{
			Buffer: "/mnt/bufferdisk/bazaar", VolumeMount: "/mnt/ddumbfs", SecondMount: "/mnt/second-ddumbfs", VolumeSubdir: "bazaar", Disks: "/mnt",
			State: "/var/lib/tresor", Index: "/var/lib/tresor/index", Socket: "/run/tresor/tresor.sock", Temporary: "/run/tresor/snapshots",
		},
		Backup: Backup{PauseAfterRound: true, Attempts: 3, RetryAfter: 5 * time.Minute, Overdue: 48 * time.Hour, Between: 10 * time.Second, AfterFailure: 15 * time.Minute,
			VolumeWait: 4 * time.Hour, FailOvers: -1, FailOverWithin: time.Hour, Stalled: 6 * time.Hour},
		Timeout: Timeout{
			Step: 2 * time.Minute, Mount: 24 * time.Hour, Index: time.Hour, Drain: 5 * time.Minute, Idle: 24 * time.Hour, Unmount: 15 * time.Minute, Alive: time.Minute,
		},
		Buffer: Buffer{EmergencyPercent: 95, Reserve: 5 << 30, WaitWarn: 3 * time.Hour, WaitLimit: 24 * time.Hour},
		Retention: Retention{
			BufferVersions: 1, VolumeVersions: 50, FillMaxPercent: 85, MinVersions: 4, UnverifiedMaxAgeDays: 20, EvidenceDays: 30,
		},
		Verify:   Verify{Mode: VerifyFull, SourceAgain: true, SourceParallel: true, ScrubMaxAge: 30 * 24 * time.Hour, IdleIO: true, Scrub: []string{}, ScrubAlert: 90 * 24 * time.Hour},
		Schedule: Schedule{Start: []string{"20:00"}, TimeZone: "Local", Switch: []string{}, SwitchAfterRound: true, Prune: []string{}},
		Mail:     Mail{Security: SecurityStartTLS, To: []string{}, AttachLog: true, GiveUpAfter: 72 * time.Hour},
		Webhook:  Webhook{Timeout: 30 * time.Second},
		Ping:     Ping{Timeout: 30 * time.Second},
		Log:      Log{Level: "info", KeepRuns: 200, MaxAgeDays: 400, MaxSize: 1 << 30, Journal: true},
		Control:  Control{RebootCommand: []string{"systemctl", "reboot"}},
		Restore:  Restore{Mode: "copy", Datastores: []string{}, DiskFormat: "thin"},
		Format:   Format{FileSystem: "ext4", VolumePercent: 80},
		UPS:      UPS{MinBatteryMinutes: 150},
	}
}

func defaultCommon() Common { return Common{Via: ViaVolume, OneFileSystem: true, Exclude: []string{}} }

// element sets the defaults of one entry of a list of tables; the binder calls it before it reads the entry.
func element(v any) {
	switch e := v.(type) {
	case *Dir:
		e.Common, e.Paths = defaultCommon(), []string{}
	case *ZFS:
		e.Common = defaultCommon()
	case *Btrfs:
		e.Common = defaultCommon()
	case *LVM:
		*e = LVM{Common: defaultCommon(), SnapshotSize: "10%ORIGIN"}
	case *Borg:
		*e = Borg{Encryption: "repokey", Prefix: "tresor-", Sources: []string{}, Init: true, Check: true, Compact: true, Program: "borg", Timeout: 48 * time.Hour}
	case *Volume:
		*e = Volume{Kind: KindUSB, Use: UseRotation, Parent: "l0/ddumbfs", Options: []string{}}
	case *Server:
		*e = Server{Port: 22, User: "root", Driver: "native", VMs: []string{}, VM: map[string]VM{}}
	}
}

// NewDir is a source with its defaults.
func NewDir() Dir { return fresh[Dir]() }

// NewZFS is a source with its defaults.
func NewZFS() ZFS { return fresh[ZFS]() }

// NewBtrfs is a source with its defaults.
func NewBtrfs() Btrfs { return fresh[Btrfs]() }

// NewLVM is a source with its defaults.
func NewLVM() LVM { return fresh[LVM]() }

// NewVolume is a volume with its defaults.
func NewVolume() Volume { return fresh[Volume]() }

// NewServer is a server with its defaults.
func NewServer() Server { return fresh[Server]() }

func fresh[T any]() T {
	var v T
	element(&v)
	return v
}
