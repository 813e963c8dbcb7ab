// Package schedule owns when something is due: calendar expressions, blocked hours of a machine, and alerts about what does not happen: backups of a
// machine, scrubs of a volume, anything at all. It keeps no time of its own: moments are handed in, and it promises the same answer for the same question,
// and one message for each incident, whatever is started anew.
//
//	c, err := schedule.Parse("Mon..Fri 20:00", zone)     also "hourly", "*-*-1 04:30", cron's five fields
//	c.Next(after)                                        first moment after that; zero: never
//	schedule.Hours{From: 8, Till: 18}.Blocked(t)         hours in which a machine is left alone
//	alerts, err := schedule.OpenAlerts(file)
//	alerts.Tell(now, []schedule.Watch{…}, notify)        "no successful backup of X since N h", once, and when it is over
//
// # Expressions
//
// [WEEKDAYS] [DATE] [TIME] [ZONE] as systemd writes them. Weekdays: Mon..Fri or Sat,Sun. Date: YEAR-MONTH-DAY or MONTH-DAY, and with ~ in place of the
// last hyphen days are counted from the end of the month (*-*~1 is its last day). Time: HOUR:MINUTE or HOUR:MINUTE:SECOND; without one it is 00:00.
// Each part is *, a number, a list a,b, a range a..b, each with /STEP. Words: minutely, hourly, daily, weekly, monthly, quarterly,
// semiannually, yearly, annually. Five fields apart by blanks are cron's: minute, hour, day, month, weekday (0 and 7 are Sunday); if both day and weekday
// are given either is enough.
//
// # Daylight saving
//
// A time that does not exist runs at the first moment after the gap, a time that exists twice runs at the first of the two, and either runs once. An
// expression for all hours (hourly, *:30) goes by elapsed time: it runs in both hours of the same name, and not for an hour that does not exist.
package schedule
