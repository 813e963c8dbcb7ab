package config

import "time"

// Ways of encryption of mail.
const (
	SecurityNone          = "none"
	SecurityOpportunistic = "starttls-opportunistic" // if the server offers it; its certificate is proved only where a password is sent
	SecurityStartTLS      = "starttls"               // or no mail at all
	SecurityTLS           = "tls"                    // from the first byte on
)

// Mail is where mail goes. Without a host none is sent.
type Mail struct {
	Host         string        `toml:"host"`
	Port         int           `toml:"port"` // 0: 465 with tls, 587 with a user, 25 otherwise
	User         string        `toml:"user"` // empty: no authentication
	PasswordFile string        `toml:"password_file"`
	Security     string        `toml:"security"`
	CAFile       string        `toml:"ca_file"` // certificates to trust beside the system's
	From         string        `toml:"from"`
	To           []string      `toml:"to"`
	Description  string        `toml:"description"` // begins each subject
	ErrorOnly    bool          `toml:"error_only"`
	AttachLog    bool          `toml:"attach_log"`
	GiveUpAfter  time.Duration `toml:"give_up_after"`
	// InterfaceUpOnDemand is a network interface that was raised for each mail; for a later release.
	InterfaceUpOnDemand string `toml:"interface_up_on_demand"`

	Password Secret `toml:"-"` // of PasswordFile
}

// SMTPPort is Port, or what stands for 0.
func (m *Mail) SMTPPort() int {
	switch {
	case m.Port != 0:
		return m.Port
	case m.Security == SecurityTLS:
		return 465
	case m.User != "":
		return 587
	}
	return 25
}

// Webhook gets each event as JSON, by POST.
type Webhook struct {
	URL       string        `toml:"url"`
	TokenFile string        `toml:"token_file"` // sent as a bearer token
	ErrorOnly bool          `toml:"error_only"`
	Timeout   time.Duration `toml:"timeout"`

	Token Secret `toml:"-"` // of TokenFile
}

// Ping is called after good rounds, so that somebody else notices when they stay away; URL/start at their begin, URL/fail after failed ones.
type Ping struct {
	URL     string        `toml:"url"`
	Timeout time.Duration `toml:"timeout"`
}
