SELECT
    l_returnflag,
    l_linestatus,
    sum(CAST(l_extendedprice AS DECIMAL(38,4)) * CAST(1 - l_discount AS DECIMAL(38,4))) AS revenue,
    {window} AS load_date
FROM clean_lineitem
GROUP BY l_returnflag, l_linestatus
