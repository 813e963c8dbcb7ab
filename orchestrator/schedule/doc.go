// Package schedule owns when something is due: calendar expressions, blocked hours of a machine, and alerts about machines without a good
// backup. It keeps no time of its own: moments and the clock are handed in, and it promises the same answer for the same question.
//
//	c, err := schedule.Parse("Mon..Fri 20:00", zone)     also "hourly", "*-*-1 04:30", cron's five fields
//	c.Next(after)                                        first moment after that; zero: never
//	c.Wait(ctx, clock, last, catchUp)                    sleeps until it is due; catchUp runs once what was missed since last
//	schedule.Hours{From: 8, Till: 18}.Blocked(t)         hours in which a machine is left alone
//	alerts.Check(now, []schedule.Watch{…})               events "no good backup of X since N h"
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
