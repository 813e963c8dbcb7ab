package service

import (
	"fmt"

	"tresor/orchestrator"
)

// Doing is what is being done, in one line: "idle" where nothing is.
func (s *Service) Doing() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nowLocked()
}

// Trouble is why no volume is in use; empty if one is, or none was asked for yet.
func (s *Service) Trouble() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trouble
}

// stepFailed tells that something which the service does by itself went wrong. It will be tried again.
func (s *Service) stepFailed(what string, err error) {
	s.say(orchestrator.Failure, "", fmt.Sprintf("%s: %v", what, err))
	s.notify(orchestrator.Event{Severity: orchestrator.Failure, Kind: orchestrator.StepFailed, Volume: s.InUse().Name, Subject: what + " failed", Body: err.Error(),
		Advice: "It is tried again by itself. If this comes again put the cause right that is named above: no room or a broken disk below the state directory, a volume that cannot be " +
			"written; `tresor status` and `tresor log` say more."})
}
